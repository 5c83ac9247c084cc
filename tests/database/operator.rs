//! What the database tells an operator: right numbers, read in the order of an index however many rows there are.

use postgres::Client;
use serde_json::{Value, json};

use crate::scratch_database::{ScratchDatabase, execute};

fn told(client: &mut Client, expression: &str) -> Value {
    let told = client.query_one(&format!("SELECT ({expression})::text"), &[]);
    match told {
        Ok(row) => {
            let text: Option<String> = row.get(0);
            serde_json::from_str(text.as_deref().unwrap_or("null")).unwrap_or_default()
        }
        Err(error) => panic!("{error:?}: {expression}"),
    }
}

/// Two lanes that wait, one that rests and one that is blocked; a breaker of each kind; one reminder that is overdue, one whose
/// task is done, and one that is to come; two open dead letters and one that was discarded; three events of which two were handled.
const SOME: &str = "
    INSERT INTO lanes (user_id, head, published) VALUES ('a', 3, 1), ('b', 9, 8), ('c', 5, 0), ('d', 1, 0), ('done', 4, 4);
    INSERT INTO publish_queue (user_id, turn_at, since, attempts, blocked) VALUES
        ('a', now() - interval '5 minutes', '2030-01-01T00:00:00Z', 0, false),
        ('b', now(), '-infinity', 2, false),
        ('c', now() + interval '30 seconds', '2029-01-01T00:00:00Z', 6, false),
        ('d', now() + interval '5 minutes', '2031-01-01T00:00:00Z', 1, true);
    INSERT INTO publishers (sidecar, token, held_until, relief_at, failures, retry_at) VALUES
        ('works', gen_random_uuid(), now() + interval '1 minute', now(), 0, NULL),
        ('open', NULL, NULL, NULL, 4, now() + interval '1 minute'),
        ('probe', NULL, NULL, NULL, 4, now() - interval '1 second');
    INSERT INTO jobs_breakers (sidecar, failures, retry_at) VALUES
        ('open', 2, now() + interval '1 minute'), ('closed', 0, now() - interval '1 minute');
    INSERT INTO tasks (
        id, user_id, title, priority, tags, due_date, timezone, is_recurring, series_id, occurrence, anchor_day,
        created_at, updated_at, completed, completed_at
    )
    SELECT
        ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'a', 't', 'low', '{}', '2030-01-01', 'UTC', false, gen_random_uuid(),
        1, 1, now(), now(), n = 2, CASE WHEN n = 2 THEN now() END
    FROM generate_series(1, 3) AS n;
    INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date, alarm_wanted)
    SELECT id, user_id, 1, 'scheduled', at, due_date, at
    FROM tasks, LATERAL (
        SELECT CASE WHEN id::text LIKE '%3' THEN now() + interval '1 hour' ELSE '2025-01-01T00:00:00Z' END AS at
    ) AS moment;
    INSERT INTO dead_letters (id, topic, kafka_partition, kafka_offset, payload, status, first_received_at, resolved_at) VALUES
        ('00000000-0000-0000-0000-000000000001', 'tasks', 0, 1, 'x', 'open', '2026-01-02T00:00:00Z', NULL),
        ('00000000-0000-0000-0000-000000000002', 'tasks', 0, 2, 'x', 'open', '2026-01-01T00:00:00Z', NULL),
        ('00000000-0000-0000-0000-000000000003', 'tasks', 0, 3, 'x', 'discarded', '2025-01-01T00:00:00Z', '2026-01-03T00:00:00Z');
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
    SELECT 'a', n, now() - n * interval '1 second', first_uuid(now() - n * interval '1 second'), 'task.created', 'tasks',
        gen_random_uuid(), '{}'
    FROM generate_series(1, 3) AS n;
    INSERT INTO processed_events (handler, event_id, processed_at)
    SELECT 'reminder', id, time + sequence * interval '100 milliseconds' FROM events WHERE sequence < 3";

#[test]
fn the_overview_counts_what_is_there() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, SOME);
    let seen = told(&mut client, "service_overview(100)");
    assert_eq!(
        seen["queue"],
        json!({
            "lanes": 4, "events": 9, "resting": 2, "blocked": 1, "oldest": seen["queue"]["oldest"], "more": false,
        })
    );
    // Of lane `b` it is only known that its turn has come.
    assert!(seen["queue"]["oldest"].as_str() < Some("2029"), "{seen}");
    let breakers = |list: &Value| -> Vec<(String, String)> {
        let text = |each: &Value, name: &str| each[name].as_str().unwrap_or_default().to_owned();
        let list = list.as_array().into_iter().flatten();
        list.map(|each| (text(each, "sidecar"), text(each, "breaker")))
            .collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(sidecar, breaker)| ((*sidecar).to_owned(), (*breaker).to_owned()))
            .collect()
    };
    assert_eq!(
        breakers(&seen["publishers"]),
        pairs(&[
            ("open", "open"),
            ("probe", "half_open"),
            ("works", "closed")
        ])
    );
    assert_eq!(seen["publishers"][2]["publishing"], true);
    assert_eq!(
        breakers(&seen["jobs"]),
        pairs(&[("closed", "closed"), ("open", "open")])
    );
    assert_eq!(
        seen["reminders"],
        json!({"overdue": 1, "oldest": "2025-01-01T00:00:00.000000Z", "more": false})
    );
    assert_eq!(
        seen["dead_letters"],
        json!({"open": 2, "oldest": "2026-01-01T00:00:00.000000Z", "more": false})
    );
    let minutes = seen["throughput"]["minutes"].as_array();
    let events = minutes.into_iter().flatten();
    let events: i64 = events.filter_map(|minute| minute["events"].as_i64()).sum();
    assert_eq!(events, 3, "{seen}");
    assert_eq!(
        seen["latencies"],
        json!([{"handler": "reminder", "claims": 2, "median_ms": 150.0, "p95_ms": 195.0, "longest_ms": 200.0}])
    );
    // With less looked at than there is, it says so.
    let seen = told(&mut client, "service_overview(1)");
    for kind in ["queue", "reminders", "dead_letters"] {
        assert_eq!(seen[kind]["more"], true, "{kind}: {seen}");
    }
}

#[test]
fn lanes_are_listed_with_the_longest_first() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, SOME);
    let mut users = |call: &str| -> (Vec<String>, Value) {
        let listed = told(&mut client, call);
        let lanes = listed["lanes"].as_array().into_iter().flatten();
        let users = lanes.map(|lane| lane["user_id"].as_str().unwrap_or_default().to_owned());
        (users.collect(), listed["more"].clone())
    };
    assert_eq!(
        users("list_lanes(true, 10)"),
        (vec!["d".to_owned(), "c".to_owned()], json!(false))
    );
    assert_eq!(
        users("list_lanes(true, 1)"),
        (vec!["d".to_owned()], json!(true))
    );
    assert_eq!(
        users("list_lanes(false, 10)"),
        (vec!["a".to_owned(), "b".to_owned()], json!(false))
    );
}

#[test]
fn a_letter_is_resolved_once_and_opens_when_it_comes_again() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, SOME);
    let id = "00000000-0000-0000-0000-000000000001";
    let mut outcome = |id: &str, resolution: &str| {
        let call = format!("resolve_dead_letter('{id}', '{resolution}', 10)");
        told(&mut client, &call)["outcome"].clone()
    };
    assert_eq!(outcome(id, "replayed"), "resolved");
    assert_eq!(outcome(id, "replayed"), "unchanged");
    assert_eq!(outcome(id, "discarded"), "resolved_otherwise");
    let unknown = "00000000-0000-0000-0000-00000000000f";
    assert_eq!(outcome(unknown, "discarded"), "not_found");
    let again = format!("record_dead_letter('{id}', 'tasks', 0, 1, 'x', NULL, NULL, NULL)");
    assert_eq!(told(&mut client, &again)["alert"], true);
    let open = told(
        &mut client,
        &format!("to_json(read_dead_letter('{id}', 10) ->> 'status')"),
    );
    assert_eq!(open, "open");
    assert!(
        client
            .batch_execute(&format!("SELECT resolve_dead_letter('{id}', 'open', 10)"))
            .is_err()
    );
}

/// So many rows of each kind that reading all of one would be noticed.
const MANY: &str = "
    SET synchronous_commit = off;
    INSERT INTO lanes (user_id, head, published) SELECT 'u' || n, 3, 1 FROM generate_series(1, 30000) AS n;
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
    SELECT
        'u' || n, 2, now() - n * interval '1 second', first_uuid(now() - n * interval '1 second'), 'task.created', 'tasks',
        gen_random_uuid(), '{}'
    FROM generate_series(1, 30000) AS n;
    INSERT INTO publish_queue (user_id, turn_at, since, attempts, blocked)
    SELECT 'u' || n, now() + (n % 2000 - 1000) * interval '1 second', '-infinity', n % 3, n % 1000 = 0
    FROM generate_series(1, 30000) AS n;
    INSERT INTO processed_events (handler, event_id, processed_at)
    SELECT 'reminder', id, time + interval '1 second' FROM events;
    INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date, alarm_wanted)
    SELECT task_id, user_id, 1, 'scheduled', time, time, time FROM events;
    INSERT INTO dead_letters (id, topic, kafka_partition, kafka_offset, payload, status, first_received_at, resolved_at)
    SELECT
        gen_random_uuid(), 'tasks', 0, n, 'x', CASE WHEN n % 2 = 0 THEN 'open' ELSE 'discarded' END,
        now() - n * interval '1 second', CASE WHEN n % 2 = 1 THEN now() - n * interval '1 second' END
    FROM generate_series(1, 30000) AS n;
    ANALYZE";

/// How many rows this connection has read by indexes, and how many without, but for those that it has reported already: that happens
/// between transactions, so both looks are in one.
const ROWS: &str = "
    SELECT
        coalesce(sum(pg_stat_get_xact_tuples_returned(oid)) FILTER (WHERE relkind = 'i'), 0)::bigint,
        coalesce(sum(pg_stat_get_xact_tuples_returned(oid)) FILTER (WHERE relkind = 'r'), 0)::bigint
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace";

#[test]
fn no_list_reads_more_than_it_shows() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, MANY);
    let far = "now() - interval '4 hours', '00000000-0000-0000-0000-000000000000'";
    for (call, most) in [
        (
            "list_dead_letters(true, NULL, NULL, 50, 100)".to_owned(),
            200,
        ),
        (format!("list_dead_letters(true, {far}, 50, 100)"), 200),
        (
            "list_dead_letters(false, NULL, NULL, 50, 100)".to_owned(),
            200,
        ),
        (format!("list_dead_letters(false, {far}, 50, 100)"), 200),
        ("list_lanes(true, 50)".to_owned(), 400),
        ("list_lanes(false, 50)".to_owned(), 400),
        ("read_lane('u7')".to_owned(), 10),
        // Ten of each kind, the ten minutes' events, and 500 claims with their events; what planning reads is in it.
        ("service_overview(10)".to_owned(), 5_000),
    ] {
        let rows = client.transaction().and_then(|mut transaction| {
            let before = transaction.query_one(ROWS, &[])?;
            transaction.query_one(&format!("SELECT {call}"), &[])?;
            let after = transaction.query_one(ROWS, &[])?;
            let more = |column: usize| after.get::<_, i64>(column) - before.get::<_, i64>(column);
            Ok((more(0), more(1)))
        });
        match rows {
            Ok((read, scanned)) => {
                assert!(read > 0 && read < most, "{call}: {read} rows");
                assert_eq!(scanned, 0, "{call}: {scanned} rows without an index");
            }
            Err(error) => panic!("{error:?}: {call}"),
        }
    }
}
