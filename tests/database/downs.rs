//! Every migration can be taken back, on data, and made again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use postgres::Client;

use crate::scratch_database::{ScratchDatabase, execute, files, read};

/// Tasks of all kinds and what follows from them, as the newest version writes them.
const DATA: &str = r#"
    CREATE TEMPORARY TABLE made AS
    SELECT kind, create_task(
        'alice', gen_random_uuid(),
        '{"title": "t", "priority": "low", "tags": [], "timezone": "UTC", "is_recurring": false}' || fields,
        'key of ' || kind, sha256(kind::bytea), outbox
    ) #>> '{task,id}' AS id
    FROM (VALUES
        ('plain', '{}'::jsonb),
        ('due', '{"due_date": "2100-01-01T09:00:00Z", "reminders": [{"before": "PT1H"}, {"at": "2099-01-01T00:00:00Z"}]}'),
        ('weekly', '{"due_date": "2100-01-01T09:00:00Z", "is_recurring": true, "recurring_interval": "weekly",
            "recurrence": {"rule": "FREQ=WEEKLY", "from": "schedule", "missed": "skip"}}'),
        ('yearly', '{"due_date": "2100-01-01T09:00:00Z", "is_recurring": true,
            "recurrence": {"rule": "FREQ=YEARLY", "from": "completion", "missed": "keep"}}'),
        ('skipped', '{"due_date": "2100-01-01T09:00:00Z", "is_recurring": true,
            "recurrence": {"rule": "FREQ=YEARLY", "from": "schedule", "missed": "skip"}}')
    ) AS kinds (kind, fields),
    LATERAL (SELECT jsonb_build_object('event_id', gen_random_uuid(), 'sidecar', kind) AS outbox) AS outbox;
    SELECT complete_task('alice', id::uuid, '{"event_id": "00000000-0000-0000-0000-000000000001", "sidecar": "s"}')
    FROM made WHERE kind = 'weekly';
    SELECT skip_task('alice', id::uuid, '{"event_id": "00000000-0000-0000-0000-000000000002", "sidecar": "s"}')
    FROM made WHERE kind = 'skipped';
    SELECT apply_reminders(
        gen_random_uuid(), 100, 'alice', id::uuid, ARRAY[now(), '2099-12-31T09:00:00Z'], now() - interval '1 hour',
        '2100-01-01T09:00:00Z', NULL, '{"event_id": "00000000-0000-0000-0000-000000000003", "sidecar": "s"}'
    ) FROM made WHERE kind = 'due';
    SELECT ring_reminder(id::uuid, '{"event_id": "00000000-0000-0000-0000-000000000004", "sidecar": "s"}')
    FROM made WHERE kind = 'due';
    SELECT notify_user(gen_random_uuid(), gen_random_uuid(), user_id, task_id, 't', triggered[1]) FROM reminders;
    SELECT snooze_notification(
        user_id, id, 600, NULL, '{"event_id": "00000000-0000-0000-0000-000000000005", "sidecar": "s"}'
    ) FROM notifications;
    SELECT record_dead_letter(gen_random_uuid(), 'tasks', 0, 0, 'x', 'e', 'task.created', 'alice');
    SELECT replace_calendar('alice', sha256('secret'));
    SELECT jobs_failed('s', false);
    DROP TABLE made;
"#;

/// The schema without data. Whether a constraint was validated on earlier rows does not matter.
fn schema(client: &mut Client) -> BTreeSet<String> {
    let rows = client.query(
        "SELECT format('%s.%s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT format('%s %s', conrelid::regclass, replace(pg_get_constraintdef(oid), ' NOT VALID', ''))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL
        SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL
        SELECT viewname || definition FROM pg_views WHERE schemaname = 'public'",
        &[],
    );
    match rows {
        Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
        Err(error) => panic!("{error:?}"),
    }
}

fn require_same(found: &BTreeSet<String>, expected: &BTreeSet<String>, when: &str) {
    let too_much: Vec<&String> = found.difference(expected).collect();
    let missing: Vec<&String> = expected.difference(found).collect();
    assert!(
        too_much.is_empty() && missing.is_empty(),
        "{when}: there is {too_much:#?}, and no {missing:#?}"
    );
}

#[test]
fn every_migration_is_taken_back_and_made_again_with_data() {
    let database = ScratchDatabase::empty();
    let mut client = database.connect();
    let ups = files("migrations", ".up.sql");
    let mut schemas = vec![schema(&mut client)];
    for up in &ups {
        execute(&mut client, &read(up));
        schemas.push(schema(&mut client));
    }
    execute(&mut client, DATA);
    let tasks = "SELECT count(*) FROM tasks";
    assert_eq!(database.number(tasks), 5);
    for (index, up) in ups.iter().enumerate().rev() {
        let down = PathBuf::from(up.to_string_lossy().replace(".up.sql", ".down.sql"));
        // A new connection, because an old one keeps plans of functions that are gone.
        let mut client = database.connect();
        for (migration, expected) in [(&down, index), (up, index + 1), (&down, index)] {
            execute(&mut client, &read(migration));
            let when = format!("after {}", migration.display());
            require_same(&schema(&mut client), &schemas[expected], &when);
        }
        if index > 0 {
            assert_eq!(database.number(tasks), 5, "{}", down.display());
        }
    }
}
