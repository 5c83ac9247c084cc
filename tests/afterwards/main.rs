//! Checks everything that the other tests left on the shared stack; `cargo xtask test` runs it after them.

use std::collections::BTreeMap;

use e2e::asyncapi::{require, require_all_stored};
use e2e::database::Database;
use e2e::events::records;
use e2e::shared_stack;
use serde_json::Value;
use stack::endpoints::{REMINDERS_TOPIC, TASKS_TOPIC};

/// All stored events are as described. Records at the broker equal the stored event, plus what Dapr adds. A record that
/// is not stored, or differs, was put there by a test.
#[test]
#[ignore = "after all other tests"]
fn every_event_of_every_test_is_as_described() {
    let stack = shared_stack();
    let stored = match require_all_stored(stack) {
        Ok(counts) => counts,
        Err(error) => panic!("{error:?}"),
    };
    let mut database = Database::of(stack);
    let mut published = BTreeMap::new();
    let mut of_tests = 0;
    for topic in [TASKS_TOPIC, REMINDERS_TOPIC] {
        let by_id = "SELECT coalesce(jsonb_object_agg(id, cloud_event(event)), '{}')
            FROM events AS event WHERE topic = $1";
        let stored = database.json(by_id, &[topic]);
        for record in records(stack, topic) {
            let event = record.json().unwrap_or_default();
            let own = &stored[event["id"].as_str().unwrap_or_default()];
            if is_within(own, &event) {
                require(&event);
                let name = event["type"].as_str().unwrap_or_default().to_owned();
                *published.entry(name).or_insert(0) += 1;
            } else {
                of_tests += 1;
            }
        }
    }
    println!("stored {stored:?}; published {published:?}; put into topics by tests: {of_tests}");
}

/// Whether an event has all attributes of a stored one.
fn is_within(stored: &Value, event: &Value) -> bool {
    stored.as_object().is_some_and(|attributes| {
        let mut attributes = attributes.iter();
        attributes.all(|(name, value)| event[name] == *value)
    })
}
