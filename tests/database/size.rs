//! A run of the relay with nothing to do costs nothing, whatever is stored.

use std::time::{Duration, Instant};

use crate::scratch_database::{ScratchDatabase, execute};

/// Fills the database with lanes, events this many milliseconds apart, and reminders, none of them due. The planner
/// keeps its defaults.
fn many(lanes: u32, events: u32, apart: u32, reminders: u32) -> String {
    format!(
        "SET synchronous_commit = off;
    SELECT ensure_partition(parent, by, now() - week * interval '1 week')
    FROM (VALUES ('events', 'time'), ('processed_events', 'uuid')) AS t (parent, by), generate_series(1, 12) AS week;
    INSERT INTO lanes (user_id, head, published)
    SELECT 'u' || n, {events} / {lanes}, {events} / {lanes} FROM generate_series(0, {lanes} - 1) AS n;
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
    SELECT
        'u' || n % {lanes}, {events} / {lanes} - n / {lanes}, at, first_uuid(at), 'task.created', 'tasks',
        gen_random_uuid(), '{{\"due_date\": \"2030-01-01\"}}'
    FROM generate_series(0, {events} - 1) AS n,
        LATERAL (SELECT now() - n * interval '{apart} milliseconds' AS at) AS moment;
    INSERT INTO processed_events (handler, event_id, processed_at) SELECT 'reminder', id, time FROM events
    ON CONFLICT DO NOTHING;
    INSERT INTO tasks (
        id, user_id, title, priority, tags, due_date, timezone, is_recurring, series_id, occurrence, anchor_day,
        created_at, updated_at
    )
    SELECT
        gen_random_uuid(), 'u' || n % {lanes}, 't', 'low', '{{}}', now() + interval '30 days' + n * interval '1 second',
        'UTC', false, gen_random_uuid(), 1, 1, now(), now()
    FROM generate_series(1, {reminders}) AS n;
    INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date, alarm_wanted, updated_at)
    SELECT id, user_id, 1, 'scheduled', due_date - lead, due_date, due_date - lead, now() - lead
    FROM tasks, (SELECT interval '1 day' AS lead) AS of_a_day;
    INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, read_at)
    SELECT
        first_uuid(now() - row_number() OVER () * interval '1 second'), user_id, task_id, 't', now(),
        CASE WHEN user_id LIKE '%0' THEN now() END
    FROM reminders LIMIT 50000;
    INSERT INTO task_successors (task_id, occurrence, successor_id)
    SELECT task_id, 1, first_uuid(now() - n * interval '1 second')
    FROM (SELECT task_id, row_number() OVER () AS n FROM reminders LIMIT 50000) AS numbered;
    INSERT INTO analytics_daily (user_id, day, type, count)
    SELECT user_id, current_date - 3, 'task.created', 1 FROM lanes;
    INSERT INTO idempotency_keys (user_id, key, request_hash, event_id)
    SELECT user_id, 'k', '', first_uuid(now()) FROM lanes;
    ANALYZE"
    )
}

/// What a run asks for.
const RUN: [&str; 10] = [
    "tend_publishers('s')",
    "watch_deliveries('recurrence')",
    "watch_deliveries('reminder')",
    "watch_deliveries('notification')",
    "overdue_reminders(100)",
    "unset_alarms('s', 100)",
    "expire_rows(1000, 86400, 2592000, 7776000, 7776000, 15552000, 31536000, 34560000)",
    "drop_expired_partition(7776000, 15552000)",
    "become_publisher('s', '00000000-0000-0000-0000-000000000001')",
    "publish_turn('s', '00000000-0000-0000-0000-000000000001', '[]', 100)",
];

#[test]
fn an_idle_run_of_the_relay_reads_next_to_nothing() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, &many(50_000, 50_000, 10_000, 50_000));
    execute(&mut client, "SELECT pg_stat_force_next_flush()");
    for call in RUN {
        let before = rows_read(&database);
        execute(&mut client, &format!("SELECT {call}"));
        execute(&mut client, "SELECT pg_stat_force_next_flush()");
        let rows = rows_read(&database) - before;
        assert!(rows < 1000, "{call} read {rows} rows");
    }
}

/// The bound that the design promises for a run with nothing to do.
const RUN_LIMIT: Duration = Duration::from_millis(10);

#[test]
#[ignore = "writes ten million events, which takes minutes and gigabytes"]
fn a_run_with_nothing_to_do_takes_less_than_ten_milliseconds_at_a_million_users() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, &many(1_000_000, 10_000_000, 690, 5_000_000));
    // The first runs of a session compile functions and plan statements.
    let mut runs = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        for call in RUN {
            execute(&mut client, &format!("SELECT {call}"));
        }
        runs.push(start.elapsed());
    }
    runs.sort();
    println!("a run took {runs:?}");
    assert!(runs[10] < RUN_LIMIT, "{runs:?}");
}

/// Many lanes that wait, and one publisher.
const WAITING: &str = "
    INSERT INTO lanes (user_id, head, published) SELECT 'u' || n, 1, 0 FROM generate_series(1, 200000) AS n;
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
    SELECT 'u' || n, 1, now(), gen_random_uuid(), 'task.created', 'tasks', gen_random_uuid(), '{}'
    FROM generate_series(1, 200000) AS n;
    INSERT INTO publish_queue (user_id, turn_at, since)
    SELECT user_id, now() - interval '1 minute', time FROM events;
    ANALYZE;
    SELECT become_publisher('s', '00000000-0000-0000-0000-000000000001')";

#[test]
fn a_publishers_turn_reads_only_the_lanes_that_it_takes_and_settles() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, WAITING);
    let turn = |results: &str, most: u32| {
        format!(
            "SELECT publish_turn('s', '00000000-0000-0000-0000-000000000001', '{results}', {most})::text"
        )
    };
    let mut answer = String::from(r#"{"events": []}"#);
    for most in [1, 100, 100, 1] {
        let taken: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let events = taken["events"].as_array().cloned().unwrap_or_default();
        let results: serde_json::Value = events
            .iter()
            .map(|event| {
                serde_json::json!({
                    "user_id": event["user_id"], "sequence": event["sequence"], "outcome": "published",
                })
            })
            .collect();
        execute(&mut client, "SELECT pg_stat_force_next_flush()");
        let before = rows_read(&database);
        answer = match client.query_one(&turn(&results.to_string(), most), &[]) {
            Ok(row) => row.get(0),
            Err(error) => panic!("{error:?}"),
        };
        execute(&mut client, "SELECT pg_stat_force_next_flush()");
        let rows = rows_read(&database) - before;
        let lanes = i64::from(most) + i64::try_from(events.len()).unwrap_or_default();
        assert!(rows < 100 + 20 * lanes, "{rows} rows for {lanes} lanes");
    }
}

fn rows_read(database: &ScratchDatabase) -> i64 {
    database.number(
        "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables",
    )
}
