//! How long rows are kept.

use e2e::database::Database;
use e2e::flow::wait_until_settled;
use e2e::logs;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::endpoints::Endpoints;
use uuid::Uuid;

use crate::support::{due, id, in_a_day, in_days, settled, short_lead_options, started};

/// How old rows are made: older than anything is kept for, or within every period.
const OLD: &str = "420 days";

/// Makes rows of one user of each kind that expires. Returns the topic of their dead letters.
fn fill(todo: &TestUser) -> String {
    let task = due(todo, &in_days(3));
    settled(todo, &task, "scheduled", Limit::DELIVERY);
    todo.complete(id(&task)).task(200);
    todo.create_once("key", json!({"title": "t"})).task(201);
    due(todo, &in_days(3));
    wait_until_settled(todo, Limit::DELIVERY);
    settled(todo, &task, "cancelled", Limit::DELIVERY);
    let topic = format!("topic-{}", Uuid::now_v7());
    let rows = format!(
        "INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, read_at)
        SELECT
            (left(first_uuid(now())::text, 13) || substr(gen_random_uuid()::text, 14))::uuid, '{user}',
            gen_random_uuid(), read::text, now(), CASE WHEN read THEN now() END
        FROM (VALUES (true), (false)) AS rows (read);
        INSERT INTO task_successors (task_id, occurrence, successor_id)
        SELECT id, 1, (left(first_uuid(now())::text, 13) || substr(gen_random_uuid()::text, 14))::uuid
        FROM tasks WHERE user_id = '{user}';
        INSERT INTO dead_letters (id, topic, kafka_partition, kafka_offset, payload, user_id, status, resolved_at)
        SELECT gen_random_uuid(), '{topic}', 0, offset_, '', '{user}', status, CASE WHEN status <> 'open' THEN now() END
        FROM (VALUES (1, 'open'), (2, 'replayed'), (3, 'discarded')) AS rows (offset_, status)",
        user = todo.user()
    );
    let inserted = todo.database().client().batch_execute(&rows);
    assert!(inserted.is_ok(), "{inserted:?}");
    topic
}

/// Makes every row of a user as old as `age`.
fn age(todo: &TestUser, age: &str) {
    let user = todo.user();
    let aged = todo.database().client().batch_execute(&format!(
        "UPDATE reminders SET updated_at = now() - interval '{age}' WHERE user_id = '{user}';
        UPDATE notifications SET created_at = now() - interval '{age}', read_at = read_at - interval '{age}',
            id = (left(first_uuid(now() - interval '{age}')::text, 13) || substr(id::text, 14))::uuid
            WHERE user_id = '{user}';
        UPDATE task_successors SET
            successor_id = (left(first_uuid(now() - interval '{age}')::text, 13) || substr(successor_id::text, 14))::uuid
            WHERE task_id IN (SELECT id FROM tasks WHERE user_id = '{user}');
        UPDATE analytics_daily SET day = (day - interval '{age}')::date WHERE user_id = '{user}';
        UPDATE dead_letters SET resolved_at = resolved_at - interval '{age}',
            first_received_at = now() - interval '{age}' WHERE user_id = '{user}';
        UPDATE idempotency_keys SET created_at = now() - interval '{age}' WHERE user_id = '{user}';
        UPDATE events SET time = now() - interval '{age}',
            data = data || jsonb_build_object('timestamp', rfc3339(now() - interval '{age}')) WHERE user_id = '{user}'"
    ));
    assert!(aged.is_ok(), "{aged:?}");
}

/// How many rows of each kind a user has. Claims are dropped with their partitions.
fn counts(database: &mut Database, todo: &TestUser) -> Value {
    database.json(
        "SELECT jsonb_build_object(
            'keys', (SELECT count(*) FROM idempotency_keys WHERE user_id = $1),
            'events', (SELECT count(*) FROM events WHERE user_id = $1),
            'reminders', (SELECT coalesce(jsonb_agg(status ORDER BY status), '[]') FROM reminders WHERE user_id = $1),
            'read', (SELECT coalesce(jsonb_agg(task_title ORDER BY task_title), '[]') FROM notifications WHERE user_id = $1),
            'successors', (
                SELECT count(*) FROM task_successors WHERE task_id IN (SELECT id FROM tasks WHERE user_id = $1)
            ),
            'analytics', (SELECT count(*) > 0 FROM analytics_daily WHERE user_id = $1),
            'letters', (SELECT coalesce(jsonb_agg(status ORDER BY status), '[]') FROM dead_letters WHERE user_id = $1)
        )",
        &[todo.user()],
    )
}

/// Waits until the relay of a stack has run once more from beginning to end after now: it sets an alarm that is not as
/// wanted, and expires rows after that, so the second such alarm says that it has.
fn relay_ran(todo: &TestUser) {
    for _ in 0..2 {
        let task = due(todo, &in_a_day());
        settled(todo, &task, "scheduled", Limit::DELIVERY);
        let unset = todo.database().client().execute(
            "UPDATE reminders SET alarm_set = NULL, updated_at = now() - interval '1 hour' WHERE task_id::text = $1",
            &[&id(&task)],
        );
        assert!(matches!(unset, Ok(1)), "{unset:?}");
        settled(todo, &task, "scheduled", Limit::RECOVERY);
    }
}

#[test]
fn expired_rows_are_deleted_and_no_others() {
    let todo = TestUser::random();
    let young = TestUser::random();
    for todo in [&todo, &young] {
        fill(todo);
    }
    let mut database = todo.database();
    wait_until_settled(&todo, Limit::DELIVERY);
    wait_until_settled(&young, Limit::DELIVERY);
    age(&young, "23 hours");
    let kept = counts(&mut database, &young);
    age(&todo, OLD);
    until("old rows are deleted", Limit::RECOVERY, || {
        let left = counts(&mut database, &todo);
        let expected = json!({
            "keys": 0, "events": 0, "reminders": ["scheduled"], "read": [], "letters": ["open"],
            "successors": 0, "analytics": false,
        });
        if left == expected { Ok(()) } else { Err(left) }
    });
    assert_eq!(counts(&mut database, &young), kept);
    // Tasks stay; the lane goes on with its numbers.
    assert_eq!(todo.listed("").len(), 3);
    let (head, _) = database.lane_of(todo.user());
    todo.created("next");
    let next = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(next.len(), 1, "{next:#?}");
    assert_eq!(next[0]["sequence"], format!("{:020}", head + 1));
}

#[test]
fn an_event_that_is_not_at_the_broker_is_kept_however_old() {
    let todo = TestUser::random();
    for title in ["a", "b", "c"] {
        todo.created(title);
    }
    wait_until_settled(&todo, Limit::DELIVERY);
    let held = todo.database().client().execute(
        "WITH behind AS (UPDATE lanes SET published = 1 WHERE user_id = $1)
        INSERT INTO publish_queue (user_id, turn_at, since) VALUES ($1, now() + interval '1 hour', '-infinity')",
        &[&todo.user()],
    );
    assert!(matches!(held, Ok(1)), "{held:?}");
    age(&todo, OLD);
    let other = TestUser::random();
    until("the published one is deleted", Limit::RECOVERY, || {
        let left = todo.stored_events();
        if left.len() == 2 {
            Ok(())
        } else {
            Err(json!(left))
        }
    });
    relay_ran(&other);
    let left = todo.stored_events();
    let numbers: Vec<&str> = left
        .iter()
        .map(|event| string_member(event, "sequence"))
        .collect();
    assert_eq!(numbers, [format!("{:020}", 2), format!("{:020}", 3)]);
    // Then it goes to the broker like any other.
    let freed = todo.database().client().execute(
        "UPDATE publish_queue SET turn_at = now() WHERE user_id = $1",
        &[&todo.user()],
    );
    assert!(matches!(freed, Ok(1)), "{freed:?}");
    todo.settle(Limit::RECOVERY);
}

#[test]
fn the_row_of_a_sidecar_that_is_gone_is_deleted() {
    let todo = TestUser::random();
    let (gone, there) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    for (sidecar, tended) in [(&gone, OLD), (&there, "50 minutes")] {
        let opened = todo.database().client().execute(
            "INSERT INTO publishers (sidecar, failures, retry_at, tended_at)
            VALUES ($1, 3, now() - $2::text::interval, now() - $2::text::interval)",
            &[sidecar, &tended],
        );
        assert!(matches!(opened, Ok(1)), "{opened:?}");
    }
    let left = || {
        let rows =
            "SELECT coalesce(jsonb_agg(sidecar), '[]') FROM publishers WHERE sidecar IN ($1, $2)";
        todo.database().json(rows, &[&gone, &there])
    };
    // The relay looks once a minute.
    until(
        "the row is gone",
        Limit::new("a minute and a run", 90),
        || match left() {
            left if left == json!([there]) => Ok(()),
            left => Err(left),
        },
    );
}

/// Starts a stack with this period, requires that it deletes nothing and says why.
fn refused(variable: &str, seconds: &str, reason: &str) {
    let stack = started(short_lead_options().variable(variable, seconds));
    let endpoints: &Endpoints = stack.endpoints();
    let todo = TestUser::random_on(endpoints);
    fill(&todo);
    wait_until_settled(&todo, Limit::DELIVERY);
    age(&todo, OLD);
    let mut database = todo.database();
    let before = counts(&mut database, &todo);
    let lines = || {
        let mut lines = logs::lines_of(endpoints, "event-relay", "retention refused");
        lines.retain(|line| line["level"] == "error");
        lines
    };
    let seen = lines().len();
    until("two more refusals", Limit::RECOVERY, || {
        match lines().len() {
            count if count >= seen + 2 => Ok(()),
            count => Err(count),
        }
    });
    assert_eq!(counts(&mut database, &todo), before);
    assert_eq!(lines()[0]["error"], reason);
}

#[test]
fn nothing_is_deleted_while_the_periods_are_out_of_order() {
    refused(
        "retention_processed_ids_seconds",
        "604800",
        "processed ids must be kept longer than topics, dead letters and events",
    );
}
