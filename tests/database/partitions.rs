//! Partitions are made ahead, and dropped when all in them has expired.

use postgres::Client;

use crate::scratch_database::{ScratchDatabase, execute};

fn query_text(client: &mut Client, statement: &str) -> String {
    match client.query_one(&format!("SELECT ({statement})::text"), &[]) {
        Ok(row) => row.get::<_, Option<String>>(0).unwrap_or_default(),
        Err(error) => panic!("{error:?}: {statement}"),
    }
}

const DAY: i64 = 24 * 60 * 60;

/// Drops what has expired, with 30 days for events and 60 for claims. Returns the names of the partitions.
fn dropped(client: &mut Client) -> Vec<String> {
    let statement = format!("drop_expired_partition({}, {})", 30 * DAY, 60 * DAY);
    let mut names = Vec::new();
    loop {
        match query_text(client, &statement).as_str() {
            "null" => return names,
            name => names.push(name.trim_matches('"').to_owned()),
        }
    }
}

#[test]
fn rows_of_the_default_partition_move_and_expire_with_a_partition() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    // Made by the migration: this week and the four that follow, of two tables.
    assert_eq!(query_text(&mut client, "ensure_partitions()"), "0");
    execute(
        &mut client,
        "INSERT INTO lanes (user_id, head, published) VALUES ('u', 3, 2);
        INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
        SELECT 'u', n, now() - age * interval '1 day', gen_random_uuid(), 't', 'tasks', gen_random_uuid(), '{}'
        FROM (VALUES (1, 100), (2, 50), (3, 0)) AS events (n, age);
        INSERT INTO processed_events (handler, event_id)
        SELECT 'h', first_uuid(now() - age * interval '1 day') FROM (VALUES (100), (50), (0)) AS claims (age);
        INSERT INTO publish_queue (user_id, turn_at, since) VALUES ('u', now(), now() - interval '60 days');",
    );
    assert_eq!(
        query_text(&mut client, "SELECT count(*) FROM events_default"),
        "2"
    );
    for age in [100, 50] {
        for (table, by) in [("events", "time"), ("processed_events", "uuid")] {
            let made =
                format!("ensure_partition('{table}', '{by}', now() - interval '{age} days')");
            assert_eq!(query_text(&mut client, &made), "true");
        }
    }
    let defaults =
        "(SELECT count(*) FROM events_default) + (SELECT count(*) FROM processed_events_default)";
    assert_eq!(query_text(&mut client, defaults), "0");

    // What waits in a lane may be as old as 60 days, so the events of 50 days ago stay.
    assert_eq!(dropped(&mut client).len(), 2);
    assert_eq!(query_text(&mut client, "SELECT count(*) FROM events"), "2");
    assert_eq!(
        query_text(&mut client, "SELECT count(*) FROM processed_events"),
        "2"
    );
    execute(&mut client, "DELETE FROM publish_queue");
    assert_eq!(dropped(&mut client).len(), 1);
    assert_eq!(query_text(&mut client, "SELECT count(*) FROM events"), "1");
    assert!(dropped(&mut client).is_empty());
}

/// No index touches what changes.
#[test]
fn updates_of_lanes_are_hot() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    for number in 0..500 {
        let append = format!(
            "SELECT append_event(
                jsonb_build_object('event_id', gen_random_uuid(), 'sidecar', 's'),
                'u{}', gen_random_uuid(), 't', 'tasks', '{{}}'
            )",
            number % 10
        );
        execute(&mut client, &append);
    }
    execute(&mut client, "SELECT pg_stat_force_next_flush()");
    let share =
        "SELECT n_tup_hot_upd * 100 / n_tup_upd FROM pg_stat_user_tables WHERE relname = 'lanes'";
    let share: i64 = query_text(&mut client, share).parse().unwrap_or_default();
    assert!(share > 90, "{share} % of the updates of lanes were HOT");
}
