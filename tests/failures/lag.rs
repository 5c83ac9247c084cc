//! A consumer group has to read many events that its handler does not act on.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use e2e::events::records_of;
use e2e::flow::{dead_letters, series, wait_until_settled};
use e2e::logs::lines_of;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;
use stack::kafka;
use uuid::Uuid;

use crate::own_stack::{OwnStack, done};

/// How many records lie before the one that counts: reading them takes longer than a handler may be silent.
const RECORDS: usize = 100_000;

/// The events of which these are the records: all published, each of a user of its own.
const PUBLISHED: &str = "WITH fresh AS (
    INSERT INTO lanes (user_id, head, published)
    SELECT 'lane-' || n, 1, 1 FROM generate_series(1, $1::text::integer) AS n
    RETURNING user_id
), changes AS (
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, data)
    SELECT
        user_id, 1, clock_timestamp(), gen_random_uuid(), 'task.updated', 'tasks', gen_random_uuid(),
        '{\"changed_fields\": [\"title\"]}'
    FROM fresh
    RETURNING user_id
)
SELECT count(*) FROM changes";

/// How long the group must have been reading for the test to mean something.
const LONGER_THAN_THE_WATCH: Duration = Duration::from_secs(30);

#[test]
#[ignore = "takes minutes, and says something only where reading takes longer than 30 s"]
fn a_backlog_that_a_stream_ignores_is_not_taken_for_sleep() {
    let stack = OwnStack::alone(|options| options);
    stack.has_made_up_events();
    let todo = TestUser::random_on(stack.endpoints());
    let task = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "daily"}));
    wait_until_settled(&todo, Limit::DELIVERY);
    let record = records_of(stack.endpoints(), TASKS_TOPIC, todo.user()).remove(0);
    // A change of a title, of another user whose events are in the same partition.
    let mut ignored: Value = record.json().unwrap_or_default();
    ignored["type"] = json!("task.updated");
    ignored["data"]["changed_fields"] = json!(["title"]);
    let values: Vec<Vec<u8>> = (0..RECORDS)
        .map(|_| {
            ignored["id"] = json!(Uuid::now_v7());
            ignored.to_string().into_bytes()
        })
        .collect();
    done(kafka::append_all(
        &stack.endpoints().kafka,
        TASKS_TOPIC,
        record.partition,
        "somebody",
        &values,
    ));
    let published = todo
        .database()
        .client()
        .query_one(PUBLISHED, &[&RECORDS.to_string()]);
    assert!(published.is_ok(), "{published:?}");
    let began = Instant::now();
    todo.complete(string_member(&task, "id")).task(200);
    let stalled = || lines_of(stack.endpoints(), "event-relay", "subscription stalled");
    // Not `successor`, whose limit is shorter.
    let mut paused = 0;
    while series(&todo, string_member(&task, "series_id")).len() < 2 {
        let probe = todo.call("GET", "/readyz/deliveries").authorization(None);
        if probe.send().status != 200 {
            paused += 1;
        }
        assert!(
            began.elapsed() < Duration::from_secs(400),
            "{:?}",
            stalled()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let took = began.elapsed();
    let _ = writeln!(
        io::stderr(),
        "{RECORDS} records read in {took:?}; taken for stalled {} times",
        stalled().len()
    );
    assert_eq!(stalled(), Vec::<Value>::new());
    assert_eq!(paused, 0);
    assert!(took > LONGER_THAN_THE_WATCH, "{took:?}");
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
}
