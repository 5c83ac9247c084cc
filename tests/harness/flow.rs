//! What follows from a user's changes: events on both topics, and what handlers make of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stack::endpoints::{Endpoints, REMINDERS_TOPIC, TASKS_TOPIC};
use stack::kafka::Record;
use ureq::http::Request;

use crate::answer::Answer;
use crate::asyncapi;
use crate::database::Database;
use crate::events::{records, records_of};
use crate::test_user::{TestUser, string_member};
use crate::wait::{Limit, until};

/// Waits until nothing more follows from what a user did: every event is at the broker, and each handler has dealt with
/// every event that concerns it. Handlers claim an event in the statement that has its effects, so nothing is under way
/// then. Returns all events, those of reminders included, in the order of their numbers.
///
/// What does not count: events that no handler claims because they are malformed, and alarms that ring later.
pub fn wait_until_settled(todo: &TestUser, limit: Limit) -> Vec<Value> {
    let mut database = todo.database();
    until("nothing more follows", limit, || {
        let found = database.json(SETTLED, &[todo.user()]);
        if found["unpublished"] == json!(0) && found["unhandled"] == json!([]) {
            let events = found["events"].as_array().cloned().unwrap_or_default();
            events.iter().for_each(asyncapi::require);
            Ok(events)
        } else {
            let rest = (&found["unpublished"], &found["unhandled"]);
            let dead = &found["dead_letters"];
            Err(format!(
                "unpublished {}, unhandled {}, dead letters {dead}, lane {}, turn {}, publishers {}",
                rest.0, rest.1, found["lane"], found["turn"], found["publishers"]
            ))
        }
    })
}

const SETTLED: &str = "
SELECT jsonb_build_object(
    'unpublished', coalesce((SELECT head - published FROM lanes WHERE user_id = $1), 0),
    'lane', (SELECT to_jsonb(lane) FROM lanes AS lane WHERE user_id = $1),
    'turn', (SELECT to_jsonb(turn) FROM publish_queue AS turn WHERE user_id = $1),
    'publishers', (SELECT jsonb_agg(to_jsonb(publisher)) FROM publishers AS publisher),
    'unhandled', (
        SELECT coalesce(jsonb_agg(handler || ' ' || type || ' ' || sequence), '[]')
        FROM
            events AS event
            CROSS JOIN (
                VALUES ('recurrence', 'recurrence'), ('reminder', 'reminder'), ('notification', 'reminder')
            ) AS handlers (stream, handler)
        WHERE user_id = $1
            AND is_delivered(stream, type, data)
            AND NOT EXISTS (
                SELECT FROM processed_events AS claim
                WHERE claim.handler = handlers.handler AND claim.event_id = event.id
            )
    ),
    'dead_letters', (SELECT count(*) FROM dead_letters WHERE user_id = $1),
    'events', (
        SELECT coalesce(jsonb_agg(cloud_event(event) ORDER BY sequence), '[]')
        FROM events AS event WHERE user_id = $1
    )
)";

/// The same for many users of a stack at once. Returns the events of each user, in the order of the users.
pub fn wait_until_all_settled(
    stack: &Endpoints,
    users: &[TestUser],
    limit: Limit,
) -> Vec<Vec<Value>> {
    let mut database = Database::of(stack);
    let names: Vec<&str> = users.iter().map(TestUser::user).collect();
    let names = json!(names).to_string();
    until("nothing more follows", limit, || {
        let rest = database.json(ALL_SETTLED, &[&names]);
        if rest == json!({"unpublished": 0, "unhandled": 0}) {
            Ok(())
        } else {
            Err(rest)
        }
    });
    let events = "SELECT jsonb_object_agg(user_id, events) FROM (
        SELECT user_id, jsonb_agg(cloud_event(event) ORDER BY sequence) AS events
        FROM events AS event
        WHERE user_id IN (SELECT jsonb_array_elements_text($1::text::jsonb))
        GROUP BY user_id
    ) AS lanes";
    let mut events = database.json(events, &[&names]);
    let mut of = |todo: &TestUser| events[todo.user()].take();
    let events: Vec<Vec<Value>> = users
        .iter()
        .map(|todo| of(todo).as_array().cloned().unwrap_or_default())
        .collect();
    events.iter().flatten().for_each(asyncapi::require);
    events
}

const ALL_SETTLED: &str = "
WITH users AS (SELECT jsonb_array_elements_text($1::text::jsonb))
SELECT jsonb_build_object(
    'unpublished', (SELECT coalesce(sum(head - published), 0) FROM lanes WHERE user_id IN (SELECT * FROM users)),
    'unhandled', (
        SELECT count(*)
        FROM
            events AS event
            CROSS JOIN (
                VALUES ('recurrence', 'recurrence'), ('reminder', 'reminder'), ('notification', 'reminder')
            ) AS handlers (stream, handler)
        WHERE user_id IN (SELECT * FROM users)
            AND is_delivered(stream, type, data)
            AND NOT EXISTS (
                SELECT FROM processed_events AS claim
                WHERE claim.handler = handlers.handler AND claim.event_id = event.id
            )
    )
)";

/// Delivers an event to a handler as the sidecar does, with the app's token.
pub fn deliver(todo: &TestUser, route: &str, event: &Value) -> Answer {
    todo.call("POST", route)
        .authorization(None)
        .header("dapr-api-token", &todo.stack().secrets.app_token)
        .header("content-type", "application/cloudevents+json")
        .body(event.to_string())
        .send()
}

/// Publishes an event through the sidecar, with the user's id as its key.
pub fn publish(todo: &TestUser, topic: &str, event: &Value) {
    asyncapi::made_by_a_test(event);
    let stack = todo.stack();
    let request = Request::post(format!(
        "{}/v1.0/publish/kafka-pubsub/{topic}?metadata.partitionKey={}",
        stack.dapr_url,
        todo.user()
    ))
    .header("content-type", "application/cloudevents+json")
    .header("dapr-api-token", &stack.secrets.dapr_token)
    .body(event.to_string());
    let answer = request.map_err(ureq::Error::from).and_then(ureq::run);
    if let Err(error) = answer {
        panic!("cannot publish: {error}");
    }
}

/// Requires what is promised of a user's events at the broker: each number from 1 to the last is there, keyed by the
/// user and all in one partition of its topic, and those of a topic appear first in the order of their numbers, each
/// not before the one that precedes it in whichever topic. Returns the first appearances in the order of the numbers.
///
/// To be called when all are published.
pub fn ordered(todo: &TestUser) -> Vec<Record> {
    let of = |topic| records_of(todo.stack(), topic, todo.user());
    ordered_among(
        todo,
        [TASKS_TOPIC, REMINDERS_TOPIC].map(|topic| (topic, of(topic))),
    )
}

/// The same of many users of a stack, whose topics are read once. By their keys alone.
pub fn all_ordered(stack: &Endpoints, users: &[TestUser]) {
    let mut by_key = [TASKS_TOPIC, REMINDERS_TOPIC].map(|topic| {
        let mut of: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for record in records(stack, topic) {
            of.entry(record.key.clone().unwrap_or_default())
                .or_default()
                .push(record);
        }
        (topic, of)
    });
    for todo in users {
        let of = by_key
            .each_mut()
            .map(|(topic, of)| (*topic, of.remove(todo.user()).unwrap_or_default()));
        ordered_among(todo, of);
    }
}

fn ordered_among(todo: &TestUser, topics: [(&str, Vec<Record>); 2]) -> Vec<Record> {
    let mut first: BTreeMap<u64, Record> = BTreeMap::new();
    let mut seen = Vec::new();
    for (topic, records) in topics {
        let mut highest = 0;
        for record in &records {
            asyncapi::require_record(topic, record);
            assert_eq!(record.key.as_deref(), Some(todo.user()), "{record:?}");
            assert_eq!(record.partition, records[0].partition, "{record:?}");
            let number = sequence_of(record);
            seen.push(format!("{topic} {}: {number}", record.offset));
            if first.contains_key(&number) {
                continue;
            }
            assert!(
                number > highest,
                "{number} appears after {highest}: {seen:#?}"
            );
            highest = number;
            first.insert(number, record.clone());
        }
    }
    let (head, _) = todo.database().lane_of(todo.user());
    let numbers: Vec<u64> = first.keys().copied().collect();
    let expected: Vec<u64> = (1..=u64::try_from(head).unwrap_or_default()).collect();
    assert_eq!(numbers, expected, "{seen:#?}");
    let first: Vec<Record> = first.into_values().collect();
    for pair in first.windows(2) {
        assert!(pair[0].timestamp <= pair[1].timestamp, "{pair:?}");
    }
    first
}

/// The number of an event among its user's events.
fn sequence_of(record: &Record) -> u64 {
    let event = record.json().ok();
    let sequence = event.as_ref().and_then(|event| event["sequence"].as_str());
    match sequence.and_then(|digits| digits.parse().ok()) {
        Some(number) if sequence.is_some_and(|digits| digits.len() == 20) => number,
        _ => panic!("no sequence of 20 digits: {record:?}"),
    }
}

/// The instance that follows a task in its series; waits for it.
pub fn successor(todo: &TestUser, task: &Value) -> Value {
    until("the next instance", Limit::DELIVERY, || {
        let series = series(todo, string_member(task, "series_id"));
        let next = task["occurrence"].as_i64().map(|number| number + 1);
        let found = series
            .iter()
            .find(|task| task["occurrence"].as_i64() == next);
        found.cloned().ok_or_else(|| json!(series))
    })
}

/// The tasks of a series, by their number in it.
pub fn series(todo: &TestUser, series: &str) -> Vec<Value> {
    let mut tasks = todo.listed("limit=200");
    tasks.retain(|task| task["series_id"] == series);
    tasks.sort_by_key(|task| task["occurrence"].as_i64());
    tasks
}

/// How many dead letters a stack has recorded, and what they are.
pub fn dead_letters(stack: &Endpoints) -> Value {
    Database::of(stack).json(
        "SELECT coalesce(jsonb_agg(jsonb_build_object(
            'topic', topic, 'event_type', event_type, 'user_id', user_id, 'deliveries', deliveries,
            'payload', convert_from(payload, 'UTF8')
        )), '[]') FROM dead_letters",
        &[],
    )
}
