//! Events at the broker.

use serde_json::Value;
use stack::endpoints::Endpoints;
use stack::kafka::{self, Record};

use crate::asyncapi;

/// All records of a topic.
pub fn records(stack: &Endpoints, topic: &str) -> Vec<Record> {
    match kafka::read_all(&stack.kafka, topic) {
        Ok(records) => records,
        Err(error) => panic!("cannot read the topic {topic}: {error:#}"),
    }
}

/// The records of a topic that belong to a user, by their partition key or by the event's own word. Those that are events,
/// and that no test made, must be as described.
pub fn records_of(stack: &Endpoints, topic: &str, user: &str) -> Vec<Record> {
    let records = records(stack, topic);
    let belongs = |record: &Record| {
        record.key.as_deref() == Some(user)
            || record
                .json()
                .is_ok_and(|event| event["partitionkey"] == user)
    };
    let records: Vec<Record> = records.into_iter().filter(belongs).collect();
    for record in &records {
        asyncapi::require_record(topic, record);
    }
    records
}

/// The events in records, each where it first appears.
pub fn first_appearances(records: &[Record]) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    for record in records {
        match record.json() {
            Ok(event) if events.iter().any(|known| known["id"] == event["id"]) => {}
            Ok(event) => events.push(event),
            Err(error) => panic!("{error:#}: {record:?}"),
        }
    }
    events
}

/// The types of events, in order.
pub fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap_or_default())
        .collect()
}
