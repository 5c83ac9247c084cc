//! The events' description (AsyncAPI 3.0): the topics, what is in them, and who reads it. Generated from the types of
//! events, the schemas of their data and the table of subscriptions.

mod schemas;

use std::fs;
use std::path::Path;

use domain::event::EventType;
use serde_json::{Map, Value, json};

use crate::committed::require_committed;
use crate::openapi::generator::schemas::user_id;
use crate::subscriptions::{SUBSCRIPTIONS, Subscription, matching};

/// The version of the Kafka bindings.
const BINDING: &str = "0.5.0";

/// The media type of records, in structured mode.
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// A topic.
struct Topic {
    /// The variable that names it.
    variable: &'static str,
    /// The variable's default.
    name: &'static str,
    meaning: &'static str,
    partitions: u32,
    retention_days: u64,
}

/// Every topic. A test of the manifests compares them with what is deployed.
static TOPICS: [Topic; 3] = [
    Topic {
        variable: "tasks_topic",
        name: "tasks",
        meaning: "Changes of tasks.",
        partitions: 12,
        retention_days: 7,
    },
    Topic {
        variable: "reminders_topic",
        name: "reminders",
        meaning: "Reminders of tasks.",
        partitions: 12,
        retention_days: 7,
    },
    Topic {
        variable: "dead_letter_topic",
        name: "tasks-dlq",
        meaning: "Records that a handler could not deal with.",
        partitions: 1,
        retention_days: 30,
    },
];

/// The message of the topic of dead letters.
const DEAD_LETTER: &str = "dead-letter";

/// The topic of events of a type.
fn topic(event_type: EventType) -> &'static str {
    match event_type {
        EventType::TaskCreated
        | EventType::TaskUpdated
        | EventType::TaskCompleted
        | EventType::TaskSkipped
        | EventType::TaskDeleted => "tasks_topic",
        EventType::ReminderScheduled
        | EventType::ReminderCancelled
        | EventType::ReminderTriggered => "reminders_topic",
    }
}

/// The consumer group of a Dapr component.
fn group(pubsub: &str) -> &'static str {
    match pubsub {
        "pubsub_name" => "recurrence",
        "pubsub_reminders_name" => "reminder",
        other => panic!("the group of {other} is not known"),
    }
}

fn document() -> Value {
    let channels: Map<String, Value> = TOPICS
        .iter()
        .map(|topic| (topic.name.to_owned(), channel(topic)))
        .collect();
    let mut operations: Map<String, Value> = TOPICS.iter().map(sending).collect();
    operations.extend(SUBSCRIPTIONS.iter().map(receiving));
    let mut messages: Map<String, Value> = EventType::ALL
        .into_iter()
        .map(|event_type| (event_type.as_str().to_owned(), message(event_type)))
        .collect();
    messages.insert(DEAD_LETTER.to_owned(), dead_letter());
    let mut schemas: Map<String, Value> = EventType::ALL
        .into_iter()
        .map(|event_type| (event_type.as_str().to_owned(), schemas::data(event_type)))
        .collect();
    schemas.insert("CloudEvent".to_owned(), schemas::envelope());
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:todo-events:events",
        "info": {
            "title": "todo-events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The events of a Todo service: every change of a task is one, and what follows from it too. \
                Each appears at least once, those of a user in order; any may reappear with the same `id`. Fields are \
                added, never changed or removed: ignore those that you do not know.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CLOUD_EVENT,
        "servers": {
            "containers": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "The broker of `docker-compose.kafka.yml`.",
            },
            "kubernetes": {
                "host": "todo-events-kafka-bootstrap.kafka.svc:9093",
                "protocol": "kafka-secure",
                "description": "The cluster that `k8s/kafka` describes. Its certificate is Strimzi's.",
                "security": [{"$ref": "#/components/securitySchemes/scram"}],
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "scram": {
                    "type": "scramSha512",
                    "description": "A KafkaUser of Strimzi's; which topics and groups it may use, its ACLs say.",
                },
            },
        },
    })
}

/// The types of events in a topic.
fn types_in(topic_variable: &str) -> impl Iterator<Item = EventType> {
    EventType::ALL
        .into_iter()
        .filter(move |event_type| topic(*event_type) == topic_variable)
}

/// The names of the messages in a topic.
fn messages_in(topic: &Topic) -> Vec<&'static str> {
    let types: Vec<&str> = types_in(topic.variable).map(EventType::as_str).collect();
    if types.is_empty() {
        vec![DEAD_LETTER]
    } else {
        types
    }
}

fn channel(topic: &Topic) -> Value {
    let messages: Map<String, Value> = messages_in(topic)
        .into_iter()
        .map(|name| {
            let reference = json!({"$ref": format!("#/components/messages/{name}")});
            (name.to_owned(), reference)
        })
        .collect();
    json!({
        "address": topic.name,
        "title": topic.name,
        "description": topic.meaning,
        "messages": messages,
        "bindings": {"kafka": {
            "topic": topic.name,
            "partitions": topic.partitions,
            "replicas": 3,
            "topicConfiguration": {
                "cleanup.policy": ["delete"],
                "retention.ms": topic.retention_days * 24 * 3600 * 1000,
            },
            "bindingVersion": BINDING,
        }},
    })
}

/// An operation's references to its channel and messages.
fn on(topic: &Topic, messages: &[&str]) -> (Value, Vec<Value>) {
    let name = topic.name;
    let messages = messages
        .iter()
        .map(|message| json!({"$ref": format!("#/channels/{name}/messages/{message}")}))
        .collect();
    (json!({"$ref": format!("#/channels/{name}")}), messages)
}

/// The operation by which the service writes to a topic.
fn sending(topic: &Topic) -> (String, Value) {
    let (channel, messages) = on(topic, &messages_in(topic));
    let (title, summary) = match topic.variable {
        "dead_letter_topic" => (
            "Give up",
            "A record that a handler calls malformed, or has refused four times, is moved here as it is.",
        ),
        _ => ("Publish", "Events as they are committed, in batches."),
    };
    let operation = json!({
        "action": "send",
        "title": format!("{title}: {}", topic.name),
        "summary": summary,
        "channel": channel,
        "messages": messages,
    });
    (format!("send-{}", topic.name), operation)
}

/// The operation by which a consumer group of the service reads a topic.
fn receiving(subscription: &Subscription) -> (String, Value) {
    let topic = TOPICS
        .iter()
        .find(|topic| topic.variable == subscription.topic)
        .unwrap_or_else(|| panic!("{} is no topic", subscription.topic));
    let group = group(subscription.pubsub);
    let path = subscription.path;
    let (names, description) = match subscription.rules {
        Some(rules) => {
            let lines: String = rules
                .iter()
                .map(|(event_type, condition)| {
                    format!("\n- `{}`", matching(*event_type, *condition))
                })
                .collect();
            (
                rules
                    .iter()
                    .map(|(event_type, _)| event_type.as_str())
                    .collect(),
                format!(
                    "The group reads the whole topic; what fits one of these goes to `POST {path}`, and all else to nobody:\n{lines}"
                ),
            )
        }
        None => (
            messages_in(topic),
            format!("Everything goes to `POST {path}`, which records it and alerts."),
        ),
    };
    let (channel, messages) = on(topic, &names);
    let operation = json!({
        "action": "receive",
        "title": format!("Group {group}: {}", topic.name),
        "summary": format!("What the consumer group `{group}` acts on."),
        "description": description,
        "channel": channel,
        "messages": messages,
        "bindings": {"kafka": {
            "groupId": {"type": "string", "enum": [group]},
            "bindingVersion": BINDING,
        }},
    });
    (format!("receive-{}-{group}", topic.name), operation)
}

/// A record of a topic of events.
fn message(event_type: EventType) -> Value {
    let name = event_type.as_str();
    json!({
        "name": name,
        "title": name,
        "summary": schemas::meaning(event_type),
        "contentType": CLOUD_EVENT,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": name},
                        "dataschema": {"const": event_type.data_schema()},
                        "data": {"$ref": format!("#/components/schemas/{name}")},
                    },
                },
            ],
        },
        "bindings": {"kafka": {"key": user_id(), "bindingVersion": BINDING}},
        "examples": [{"name": name, "payload": example(event_type)}],
    })
}

fn example(event_type: EventType) -> Value {
    let data = schemas::data(event_type)["examples"][0].take();
    let topic_variable = topic(event_type);
    let topic = TOPICS.iter().find(|topic| topic.variable == topic_variable);
    json!({
        "specversion": "1.0",
        "id": "019b0b5e-7a52-7c1e-9a55-0d4c5f8e8a11",
        "source": "/todo/users/alice",
        "type": event_type.as_str(),
        "subject": data["task_id"],
        "time": data["timestamp"],
        "datacontenttype": "application/json",
        "dataschema": event_type.data_schema(),
        "partitionkey": "alice",
        "sequence": "00000000000000000007",
        "topic": topic.map(|topic| topic.name),
        "pubsubname": "kafka-pubsub",
        "data": data,
    })
}

fn dead_letter() -> Value {
    json!({
        "name": DEAD_LETTER,
        "title": "A record that was given up",
        "summary": "The record of another topic, with its key; not always an event, nor always JSON.",
        "contentType": "application/octet-stream",
        "payload": {},
    })
}

#[test]
fn asyncapi_json_is_what_the_code_says() {
    require_committed("asyncapi.json", &document());
}

#[test]
fn the_schemas_of_events_are_what_the_code_says() {
    let mut expected: Vec<String> = Vec::new();
    for event_type in EventType::ALL {
        let name = event_type.data_schema();
        let name = name.trim_start_matches("urn:todo-events:schema:");
        let file = format!("{}.json", name.replace(':', "."));
        require_committed(&format!("schemas/{file}"), &schemas::document(event_type));
        expected.push(file);
    }
    let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")).unwrap();
    let mut files: Vec<String> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    expected.sort();
    assert_eq!(files, expected);
}
