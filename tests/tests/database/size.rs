//! A run of the relay with nothing to do costs nothing, whatever is stored.

use crate::scratch_database::{ScratchDatabase, execute};

/// Much of everything, and nothing of it due; as the planner finds it, with nothing switched off.
const MANY: &str = "
    INSERT INTO lanes (user_id, head, published) SELECT 'u' || n, 1, 1 FROM generate_series(1, 50000) AS n;
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
    SELECT
        'u' || n, 1, at, first_uuid(at), 'task.created', 'tasks', gen_random_uuid(), '{\"due_date\": \"2030-01-01\"}'
    FROM generate_series(1, 50000) AS n, LATERAL (SELECT now() - n * interval '10 seconds' AS at) AS moment;
    INSERT INTO processed_events (handler, event_id, processed_at) SELECT 'reminder', id, time FROM events
    ON CONFLICT DO NOTHING;
    INSERT INTO tasks (
        id, user_id, title, priority, tags, due_date, timezone, is_recurring, series_id, occurrence, anchor_day,
        created_at, updated_at
    )
    SELECT
        gen_random_uuid(), 'u' || n, 't', 'low', '{}', now() + interval '30 days' + n * interval '1 second', 'UTC',
        false, gen_random_uuid(), 1, 1, now(), now()
    FROM generate_series(1, 50000) AS n;
    INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date, alarm_wanted, updated_at)
    SELECT id, user_id, 1, 'scheduled', due_date - lead, due_date, due_date - lead, now() - lead
    FROM tasks, (SELECT interval '1 day' AS lead) AS of_a_day;
    INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, read_at)
    SELECT
        first_uuid(now() - row_number() OVER () * interval '1 second'), user_id, task_id, 't', now(),
        CASE WHEN user_id LIKE '%0' THEN now() END
    FROM reminders;
    INSERT INTO task_successors (task_id, occurrence, successor_id)
    SELECT task_id, 1, first_uuid(now() - n * interval '1 second')
    FROM (SELECT task_id, row_number() OVER () AS n FROM reminders) AS numbered;
    INSERT INTO analytics_daily (user_id, day, type, count)
    SELECT user_id, current_date - 3, 'task.created', 1 FROM reminders;
    INSERT INTO idempotency_keys (user_id, key, request_hash, event_id)
    SELECT user_id, 'k', '', task_id FROM reminders;
    ANALYZE";

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
fn a_run_with_nothing_to_do_reads_next_to_nothing() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, MANY);
    execute(&mut client, "SELECT pg_stat_force_next_flush()");
    let read = || {
        database.number(
            "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables",
        )
    };
    for call in RUN {
        let before = read();
        execute(&mut client, &format!("SELECT {call}"));
        execute(&mut client, "SELECT pg_stat_force_next_flush()");
        let rows = read() - before;
        assert!(rows < 1000, "{call} read {rows} rows");
    }
}
