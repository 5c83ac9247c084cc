//! Every order and page of a list is served by an index: rows are read in order, and no more than the page needs.

use domain::notification_list::NotificationQuery;
use domain::page::Position;
use domain::task_list::TaskQuery;
use domain::user_id::UserId;
use domain::violation::Violation;
use e2e::database::Database;
use e2e::shared_stack;
use platform::lists;
use serde_json::{Value, json};
use spin_sdk::pg4::ParameterValue;

use crate::scratch::Scratch;

/// Some thousand rows of a few users. Without an index the rows must be scanned and sorted. With few matching rows
/// PostgreSQL might prefer to sort them.
const MANY: &str = "
    INSERT INTO tasks (
        id, user_id, title, priority, tags, due_date, timezone, is_recurring, series_id, occurrence, anchor_day,
        created_at, updated_at
    )
    SELECT
        gen_random_uuid(), 'index-test-' || n % 4, 't', (ARRAY['low', 'medium', 'high'])[1 + n % 3]::priority, '{}', due,
        'UTC', false, gen_random_uuid(), 1, extract(day FROM due), now() + n * interval '1 second', now()
    FROM
        generate_series(1, 4000) AS n,
        LATERAL (SELECT CASE WHEN n % 5 > 0 THEN now() + n * interval '1 hour' END AS due) AS date;
    INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, created_at, read_at)
    SELECT
        gen_random_uuid(), 'index-test-' || n % 4, gen_random_uuid(), 't', now(), now() + n * interval '1 second',
        CASE WHEN n % 3 = 0 THEN now() END
    FROM generate_series(1, 4000) AS n;
    ANALYZE tasks, notifications;
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_sort = off";

/// All nodes of a plan from `node` down.
fn nodes(node: &Value) -> Vec<&Value> {
    let below = node["Plans"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(nodes);
    [node].into_iter().chain(below).collect()
}

fn valid<T>(parsed: Result<T, Vec<Violation>>) -> T {
    match parsed {
        Ok(value) => value,
        Err(violations) => panic!("{violations:?}"),
    }
}

fn user() -> UserId {
    match UserId::try_from("index-test-1".to_owned()) {
        Ok(user) => user,
        Err(error) => panic!("{error}"),
    }
}

/// The position of a task or notification that a page might end with.
fn position(key: Option<&str>) -> Position {
    match serde_json::from_value(json!({"k": key, "i": "00000000-0000-7000-8000-000000000000"})) {
        Ok(position) => position,
        Err(error) => panic!("{error}"),
    }
}

/// Requires that a page of a list is read from `index` in its order; a further page from where the last one ended, not
/// from the list's beginning.
fn assert_served_by(
    index: &str,
    is_further: bool,
    scratch: &mut Scratch<'_>,
    (statement, parameters): (String, Vec<ParameterValue>),
) {
    let lines = scratch.run(&format!("EXPLAIN (FORMAT JSON) {statement}"), parameters);
    let plan: Value = serde_json::from_str(&lines.join("\n")).unwrap_or_default();
    let all = nodes(&plan[0]["Plan"]);
    let Some(page) = all.into_iter().find(|node| node["Node Type"] == "Limit") else {
        panic!("no page in {plan:#}");
    };
    let nodes = nodes(page);
    for node in &nodes {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        assert!(
            !kind.contains("Sort") && !kind.contains("Seq Scan"),
            "{statement}\n{page:#}"
        );
    }
    let scan = nodes.iter().find(|node| node["Index Name"].is_string());
    let scan = scan.map_or(&Value::Null, |scan| *scan);
    assert_eq!(scan["Index Name"], index, "{statement}\n{page:#}");
    let condition = scan["Index Cond"].as_str().unwrap_or_default();
    assert_eq!(
        condition.contains("ROW("),
        is_further,
        "{statement}\n{page:#}"
    );
}

#[test]
fn each_order_of_tasks_has_its_index() {
    let mut database = Database::of(shared_stack());
    let mut scratch = Scratch::begin(&mut database, MANY);
    let instant = Some("2030-01-01T00:00:00Z");
    for (sort_by, index, keys) in [
        ("created_at_asc", "tasks_by_created_at", vec![instant]),
        ("created_at_desc", "tasks_by_created_at", vec![instant]),
        ("due_date_asc", "tasks_by_due_date_asc", vec![instant, None]),
        (
            "due_date_desc",
            "tasks_by_due_date_desc",
            vec![instant, None],
        ),
        ("priority_asc", "tasks_by_priority", vec![Some("medium")]),
        ("priority_desc", "tasks_by_priority", vec![Some("medium")]),
    ] {
        let first = format!("sort_by={sort_by}");
        let query = valid(TaskQuery::parse(&first));
        let further = keys
            .iter()
            .map(|key| Some(query.cursor_after(position(*key))));
        for cursor in [None].into_iter().chain(further) {
            for filter in [
                "",
                "&status=pending",
                "&tags=a",
                "&due_after=2030-01-01T00:00:00Z&q=x",
            ] {
                let cursor_parameter = cursor.iter().map(|cursor| format!("&cursor={cursor}"));
                let query = format!("{first}{filter}{}", cursor_parameter.collect::<String>());
                let list = lists::tasks::statement(&user(), &valid(TaskQuery::parse(&query)));
                assert_served_by(index, cursor.is_some(), &mut scratch, list);
            }
        }
    }
}

#[test]
fn notifications_are_read_newest_first_from_an_index() {
    let mut database = Database::of(shared_stack());
    let mut scratch = Scratch::begin(&mut database, MANY);
    for (filter, index) in [
        ("unread=false", "notifications_by_created_at"),
        ("unread=true", "notifications_unread"),
    ] {
        let first = valid(NotificationQuery::parse(filter));
        let cursor = first.cursor_after(position(Some("2030-01-01T00:00:00Z")));
        let further = valid(NotificationQuery::parse(&format!(
            "{filter}&cursor={cursor}"
        )));
        assert_served_by(
            index,
            false,
            &mut scratch,
            lists::notifications::statement(&user(), &first),
        );
        assert_served_by(
            index,
            true,
            &mut scratch,
            lists::notifications::statement(&user(), &further),
        );
    }
}

/// Many rows with nothing to report; one lane is behind, and one reminder is overdue.
const WELL: &str = "
    INSERT INTO lanes (user_id, head, published) SELECT 'gauge-test-' || n, 10, 10 FROM generate_series(1, 2000) AS n;
    INSERT INTO events (user_id, sequence, id, type, topic, task_id, time, data)
    SELECT 'gauge-test-' || n % 2000, n / 2000, gen_random_uuid(), 't', 'tasks', gen_random_uuid(), now(), '{}'
    FROM generate_series(1, 20000) AS n;
    UPDATE lanes SET published = 9 WHERE user_id = 'gauge-test-1';
    INSERT INTO publish_queue (user_id, turn_at, since) VALUES ('gauge-test-1', now(), now());
    INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date, alarm_wanted)
    SELECT
        gen_random_uuid(), 'gauge-test', 1, 'scheduled', now() + (n - 1) * interval '1 minute', now(), now()
    FROM generate_series(1, 4000) AS n;
    INSERT INTO dead_letters (id, topic, kafka_partition, kafka_offset, payload, status)
    SELECT gen_random_uuid(), 'gauge-test', 0, n, '', CASE WHEN n % 100 > 0 THEN 'replayed' ELSE 'open' END
    FROM generate_series(1, 4000) AS n;
    ANALYZE lanes, events, reminders, dead_letters, tasks";

#[test]
fn the_gauges_of_monitoring_read_no_table_from_end_to_end() {
    let mut database = Database::of(shared_stack());
    let mut scratch = Scratch::begin(&mut database, &format!("{MANY}; RESET ALL; {WELL}"));
    let lines = scratch.run(
        "EXPLAIN (FORMAT JSON) SELECT * FROM service_gauges",
        Vec::new(),
    );
    let plan: Value = serde_json::from_str(&lines.join("\n")).unwrap_or_default();
    let mut indexes: Vec<&str> = Vec::new();
    for node in nodes(&plan[0]["Plan"]) {
        // The queue holds what waits and nothing else.
        let is_whole = node["Node Type"] == "Seq Scan" && node["Relation Name"] != "publish_queue";
        assert!(!is_whole, "{plan:#}");
        indexes.extend(node["Index Name"].as_str());
        // Only the bound, not all scheduled reminders.
        if node["Index Name"] == "reminders_scheduled" {
            assert!(node["Index Cond"].is_string(), "{plan:#}");
        }
    }
    indexes.sort_unstable();
    let expected = [
        "dead_letters_open",
        "lanes_pkey",
        "reminders_scheduled",
        "tasks_pkey",
    ];
    assert_eq!(indexes, expected, "{plan:#}");
}
