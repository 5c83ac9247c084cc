//! A thousand rows a second that expire: retention keeps up, and what it frees is used again. It takes minutes:
//! `cargo xtask test --e2e --ignored sizes_stay_flat`.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use e2e::database::Database;
use serde_json::Value;

use crate::own_stack::OwnStack;

/// Rows of each table and second.
const ROWS: i32 = 1000;

/// How long rows come. The first third is for the files to reach their size.
const LOAD: Duration = Duration::from_secs(240);

/// How much larger a table may be in the last third of the time than in the second. Without retention it would be 1.5
/// times as large.
const GROWTH: f64 = 1.2;

/// A UUIDv7 of the moment `old`.
const OLD_ID: &str =
    "(left(first_uuid(old)::text, 13) || substr(gen_random_uuid()::text, 14))::uuid";

/// Writes rows that are old enough to be deleted into each table that grows with traffic. Events and claims lie in a
/// partition that has expired as a whole, as all do when their week is over.
fn fill() -> String {
    format!(
        "DO $$
DECLARE
    old timestamptz := now() - interval '30 weeks';
BEGIN
    PERFORM ensure_partition('events', 'time', old), ensure_partition('processed_events', 'uuid', old);
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
    SELECT 'flat', nextval('flat'), old, {OLD_ID}, 'task.created', 'tasks', gen_random_uuid(),
        jsonb_build_object('title', repeat('t', 500))
    FROM generate_series(1, {ROWS});
    INSERT INTO processed_events (handler, event_id, processed_at)
    SELECT 'reminder', {OLD_ID}, old FROM generate_series(1, {ROWS});
    INSERT INTO idempotency_keys (user_id, key, request_hash, event_id, created_at)
    SELECT 'flat', gen_random_uuid(), sha256(''), gen_random_uuid(), now() - interval '25 hours'
    FROM generate_series(1, {ROWS});
    INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, read_at)
    SELECT {OLD_ID}, 'flat', gen_random_uuid(), repeat('t', 100), old, old
    FROM generate_series(1, {ROWS});
    INSERT INTO task_successors (task_id, occurrence, successor_id)
    SELECT gen_random_uuid(), 1, {OLD_ID} FROM generate_series(1, {ROWS});
    INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date, updated_at)
    SELECT gen_random_uuid(), 'flat', 1, 'triggered', old, old, old FROM generate_series(1, {ROWS});
    INSERT INTO dead_letters (id, topic, kafka_partition, kafka_offset, payload, user_id, status, resolved_at)
    SELECT gen_random_uuid(), 'flat', 0, nextval('flat'), '', 'flat', 'discarded', old FROM generate_series(1, {ROWS});
END $$"
    )
}

/// What each table takes, with its indexes and partitions, in bytes.
const SIZES: &str = "SELECT jsonb_object_agg(name, (
    SELECT sum(pg_total_relation_size(part.oid)) FROM pg_class AS part
    WHERE part.oid = name::regclass OR part.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = name::regclass)
)) FROM unnest(ARRAY[
    'events', 'processed_events', 'idempotency_keys', 'notifications', 'task_successors', 'reminders', 'dead_letters'
]) AS name";

#[test]
#[ignore = "it takes minutes"]
fn at_a_thousand_expiring_rows_a_second_sizes_stay_flat() {
    let stack = OwnStack::alone(|options| options);
    let mut database = Database::of(stack.endpoints());
    let mut writer = Database::of(stack.endpoints());
    let begun = writer.client().batch_execute(
        "CREATE SEQUENCE flat; INSERT INTO lanes (user_id, head, published) VALUES ('flat', 1000000000, 1000000000)",
    );
    assert!(begun.is_ok(), "{begun:?}");

    let began = Instant::now();
    let fill = fill();
    let mut seconds = 0;
    let mut seen: Vec<(Duration, Value)> = Vec::new();
    while began.elapsed() < LOAD {
        let filled = writer.client().batch_execute(&fill);
        assert!(filled.is_ok(), "{filled:?}");
        seconds += 1;
        if seconds % 5 == 0 {
            seen.push((began.elapsed(), database.json(SIZES, &[])));
        }
        // The pace of the load, not a wait.
        thread::sleep(Duration::from_secs(seconds).saturating_sub(began.elapsed()));
    }

    let most = |table: &str, third: u32| {
        let (from, to) = (LOAD * third / 3, LOAD * (third + 1) / 3);
        let sizes = seen.iter().filter(|(at, _)| (from..to).contains(at));
        let most = sizes
            .filter_map(|(_, sizes)| sizes[table].as_f64())
            .fold(0.0, f64::max);
        assert!(most > 0.0, "nothing is known of {table}: {seen:?}");
        most
    };
    let tables: Vec<String> = seen
        .last()
        .and_then(|(_, sizes)| sizes.as_object())
        .map(|sizes| sizes.keys().cloned().collect())
        .unwrap_or_default();
    let rate = i64::from(ROWS) * i64::try_from(seconds).unwrap_or(0) / LOAD.as_secs() as i64;
    let mut report = format!(
        "{rate} rows/s into each table for {} s; MiB in each third:",
        LOAD.as_secs()
    );
    for table in &tables {
        let of = [0, 1, 2].map(|third| format!("{:.1}", most(table, third) / 1_048_576.0));
        report += &format!(" {table} {};", of.join(", "));
    }
    let _ = writeln!(io::stderr(), "{report}");
    assert_eq!(tables.len(), 7, "{report}");
    assert!(
        rate >= i64::from(ROWS) * 95 / 100,
        "the load was too slow: {report}"
    );
    for table in &tables {
        assert!(
            most(table, 2) <= most(table, 1) * GROWTH,
            "{table} grows: {report}"
        );
    }
}
