//! What the change feed reads: no more than the page needs, however many events and partitions there are.

use postgres::Client;
use serde_json::Value;

use crate::scratch_database::{ScratchDatabase, execute};

/// Three months of 200 users' events, 200 each, in their partitions.
const MONTHS: &str = "
    SELECT count(ensure_partition('events', 'time', now() - n * interval '7 days')) FROM generate_series(0, 13) AS n;
    INSERT INTO lanes (user_id, head, published) SELECT 'u' || n, 200, 200 FROM generate_series(1, 200) AS n;
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
    SELECT 'u' || u, n, now() - (200 - n) * interval '10 hours', gen_random_uuid(), 't', 'tasks', gen_random_uuid(), '{}'
    FROM generate_series(1, 200) AS u, generate_series(1, 200) AS n;
    ANALYZE";

/// How many pages of eight kilobytes a call reads, once its plans are made.
fn pages_read(client: &mut Client, call: &str) -> i64 {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT {call}");
    let mut count = 0;
    for _ in 0..3 {
        count = match client.simple_query(&explain) {
            Ok(messages) => messages
                .iter()
                .filter_map(|message| match message {
                    postgres::SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                })
                .find_map(|plan| {
                    let plan: Value = serde_json::from_str(plan).ok()?;
                    let plan = &plan[0]["Plan"];
                    Some(
                        plan["Shared Hit Blocks"].as_i64()?
                            + plan["Shared Read Blocks"].as_i64()?,
                    )
                })
                .unwrap_or(i64::MAX),
            Err(error) => panic!("{error:?}: {call}"),
        };
    }
    count
}

#[test]
fn reading_changes_reads_only_the_rows_that_it_returns() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(&mut client, MONTHS);
    for (call, most) in [
        // One row of `lanes`.
        ("read_changes('u7', 200, false, 50)", 5),
        ("read_changes('u7', NULL, true, 50)", 5),
        // One event, in the partition of this week or the last.
        ("read_changes('u7', 199, false, 50)", 15),
        // About fifty events of weeks ago: one look into each partition, and those events.
        ("read_changes('u7', 10, false, 50)", 250),
        ("read_changes('u7', NULL, false, 50)", 250),
    ] {
        let count = pages_read(&mut client, call);
        assert!(count <= most, "{call} reads {count} pages");
    }
}

/// A place is free by itself when its time is over, and the rows of hosts that are gone do not stay.
#[test]
fn places_of_a_host_that_was_killed_are_free_when_their_time_is_over() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    let mut open = |user: &str, seconds: i32| -> String {
        let call = format!(
            "SELECT (open_stream(gen_random_uuid(), '{user}', 'h', {seconds}, 2, 3, NULL, true, 50)::jsonb ->> 'outcome')"
        );
        match client.query_one(&call, &[]) {
            Ok(row) => row.get(0),
            Err(error) => panic!("{error:?}"),
        }
    };
    for (user, seconds, outcome) in [
        ("a", 60, "opened"),
        ("a", 60, "opened"),
        ("a", 60, "user_full"),
        ("b", 60, "opened"),
        ("b", 60, "full"),
    ] {
        assert_eq!(open(user, seconds), outcome, "{user}");
    }
    execute(
        &mut database.connect(),
        "UPDATE change_streams SET until = now() WHERE user_id = 'a'",
    );
    assert_eq!(open("a", 60), "opened");
    assert_eq!(database.number("SELECT count(*) FROM change_streams"), 2);
}
