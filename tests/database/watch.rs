//! When the watch over deliveries decides that a subscription has stalled.

use postgres::Client;

use crate::scratch_database::{ScratchDatabase, execute};

const COMPLETED: (&str, &str) = (
    "task.completed",
    r#"{"is_recurring": true, "due_date": "2030-01-01"}"#,
);

/// An event that the recurrence handler does not act on.
const CREATED: (&str, &str) = ("task.created", "{}");

/// Published events, each of its own user: the newest `seconds` seconds old, 10 ms between two.
fn published(client: &mut Client, prefix: &str, count: u32, of: (&str, &str), seconds: u32) {
    execute(
        client,
        &format!(
            "WITH lane AS (
                INSERT INTO lanes (user_id, head, published)
                SELECT '{prefix}' || n, 1, 1 FROM generate_series(1, {count}) AS n
            )
            INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
            SELECT
                '{prefix}' || n, 1, clock_timestamp() - interval '{seconds} seconds' - n * interval '10 milliseconds',
                gen_random_uuid(), '{}', 'tasks', gen_random_uuid(), '{}'
            FROM generate_series(1, {count}) AS n",
            of.0, of.1
        ),
    );
}

/// Whether deliveries are to pause.
fn is_stalled(client: &mut Client) -> bool {
    match client.query_one("SELECT watch_deliveries('recurrence')::text", &[]) {
        Ok(row) => row.get::<_, String>(0) == "true",
        Err(error) => panic!("{error:?}"),
    }
}

/// A transaction in which events stay as old as they are.
fn passes(client: &mut Client, seconds: u32) {
    let past = format!("UPDATE delivery_watch SET since = since - interval '{seconds} seconds'");
    execute(client, &past);
}

#[test]
fn an_event_that_does_not_arrive_while_nothing_else_does_is_a_stall() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    published(&mut client, "u", 1, COMPLETED, 20);
    assert!(!is_stalled(&mut client));
    passes(&mut client, 8);
    assert!(!is_stalled(&mut client));
    passes(&mut client, 3);
    assert!(is_stalled(&mut client));
    // Not again at once.
    assert_eq!(
        database.number("SELECT count(*) FROM delivery_watch WHERE pause_until > now()"),
        1
    );
    execute(
        &mut client,
        "UPDATE delivery_watch SET pause_until = now() - interval '15 seconds'",
    );
    assert!(!is_stalled(&mut client));
}

#[test]
fn a_backlog_before_an_event_is_no_stall() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    published(&mut client, "ignored", 5000, CREATED, 60);
    published(&mut client, "u", 1, COMPLETED, 20);
    assert!(!is_stalled(&mut client));
    passes(&mut client, 18);
    assert!(!is_stalled(&mut client), "a backlog was taken for a stall");
    passes(&mut client, 4);
    assert!(is_stalled(&mut client));
}

#[test]
fn a_stall_is_found_among_many_waiting_events() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    published(&mut client, "first", 300, COMPLETED, 20);
    assert!(!is_stalled(&mut client));
    passes(&mut client, 13);
    published(&mut client, "second", 300, COMPLETED, 16);
    assert!(is_stalled(&mut client), "busy, it stays stalled");
}

#[test]
fn an_arrival_or_nothing_missing_starts_the_watch_again() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    published(&mut client, "u", 2, COMPLETED, 20);
    assert!(!is_stalled(&mut client));
    passes(&mut client, 30);
    execute(
        &mut client,
        "INSERT INTO processed_events (handler, event_id, processed_at)
        SELECT 'recurrence', id, now() - interval '11 seconds' FROM events WHERE user_id = 'u1'",
    );
    assert!(!is_stalled(&mut client));
    let recent = "SELECT count(*) FROM delivery_watch WHERE since > now() - interval '5 seconds'";
    assert_eq!(database.number(recent), 1);

    execute(
        &mut client,
        "INSERT INTO processed_events (handler, event_id, processed_at)
        SELECT 'recurrence', id, now() - interval '11 seconds' FROM events WHERE user_id = 'u2'",
    );
    assert!(!is_stalled(&mut client));
    assert_eq!(database.number("SELECT count(*) FROM delivery_watch"), 0);
}
