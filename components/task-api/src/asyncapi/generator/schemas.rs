//! The data of events, and the CloudEvent around it.
//!
//! A consumer may keep a schema while it gets events of a later version, or replayed events of an earlier one. So
//! unknown members are allowed, added members are not required, and a member that may get new values lists today's
//! values as `x-extensible-enum`. The tests are stricter.

use domain::event::EventType;
use domain::reminder::NoReminder;
use domain::task_fields::{READ_ONLY, WRITABLE};
use serde_json::{Map, Value, json};

use crate::openapi::generator::schemas::tasks::{field, task};
use crate::openapi::generator::schemas::{described, instant, nullable, object, user_id, uuid};

/// The fields that the data of a task has had from the first version: an event of any age has them.
const FIRST_FIELDS: [&str; 19] = [
    "task_id",
    "user_id",
    "title",
    "description",
    "completed",
    "completed_at",
    "priority",
    "tags",
    "due_date",
    "timezone",
    "is_recurring",
    "recurring_interval",
    "series_id",
    "occurrence",
    "anchor_day",
    "version",
    "created_at",
    "updated_at",
    "timestamp",
];

/// The schema that `dataschema` names, a document of its own.
pub(super) fn document(event_type: EventType) -> Value {
    let mut document = Map::new();
    document.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    document.insert("$id".to_owned(), json!(event_type.data_schema()));
    document.insert(
        "title".to_owned(),
        json!(format!("Data of {}", event_type.as_str())),
    );
    document.extend(data(event_type).as_object().cloned().unwrap_or_default());
    Value::Object(document)
}

/// When such an event is emitted.
pub(super) fn meaning(event_type: EventType) -> &'static str {
    match event_type {
        EventType::TaskCreated => "A task was created, by its user or as the next of its series.",
        EventType::TaskUpdated => "Fields of a task changed, or it was reopened.",
        EventType::TaskCompleted => "A pending or skipped task was completed.",
        EventType::TaskSkipped => {
            "A pending task was skipped, in favour of the next of its series."
        }
        EventType::TaskDeleted => "A task was deleted.",
        EventType::ReminderScheduled => {
            "Reminders of a task were scheduled or moved, or one was put off."
        }
        EventType::ReminderCancelled => "All scheduled reminders of a task were cancelled.",
        EventType::ReminderTriggered => "A reminder came due.",
    }
}

/// An event's data.
pub(super) fn data(event_type: EventType) -> Value {
    let mut schema = match event_type {
        EventType::TaskCreated | EventType::TaskCompleted | EventType::TaskSkipped => task_data(),
        EventType::TaskUpdated => {
            let mut schema = task_data();
            schema["properties"]["changed_fields"] = described(
                json!({"type": "array", "minItems": 1, "uniqueItems": true, "items": extensible(changeable())}),
                "The names of the fields that are not as they were.",
            );
            if let Some(required) = schema["required"].as_array_mut() {
                required.push(json!("changed_fields"));
            }
            schema
        }
        EventType::TaskDeleted => about_a_task([
            ("title", field("title")),
            ("due_date", nullable(field("due_date"))),
            ("was_completed", json!({"type": "boolean"})),
        ]),
        EventType::ReminderScheduled => {
            let mut schema = about_a_task([("remind_at", instant()), ("due_date", instant())]);
            schema["properties"]["remind_at"] = described(instant(), "The next moment.");
            schema["properties"]["moments"] = described(
                json!({"type": "array", "minItems": 1, "items": instant()}),
                "All moments ahead, in order.",
            );
            schema
        }
        EventType::ReminderCancelled => about_a_task([(
            "reason",
            extensible(NoReminder::ALL.map(NoReminder::as_str).to_vec()),
        )]),
        EventType::ReminderTriggered => about_a_task([
            ("task_title", field("title")),
            ("due_date", instant()),
            ("remind_at", instant()),
        ]),
    };
    schema["description"] = json!(meaning(event_type));
    schema["examples"] = json!([example(event_type, &schema)]);
    schema
}

/// The fields that `changed_fields` may name: all but those that never change and those that every change changes.
fn changeable() -> Vec<&'static str> {
    let never_named = [
        "id",
        "user_id",
        "series_id",
        "occurrence",
        "version",
        "created_at",
        "updated_at",
    ];
    let mut fields: Vec<&str> = READ_ONLY.into_iter().chain(WRITABLE).collect();
    fields.retain(|field| !never_named.contains(field));
    fields
}

/// All fields of the task, `id` as `task_id`.
fn task_data() -> Value {
    let mut schema = task();
    if let Some(properties) = schema["properties"].as_object_mut() {
        let id = properties.remove("id").unwrap_or_default();
        let mut members = Map::from_iter([("task_id".to_owned(), id)]);
        members.append(properties);
        members.insert("timestamp".to_owned(), timestamp());
        *properties = members;
    }
    for name in FIRST_FIELDS {
        assert!(
            schema["properties"][name].is_object(),
            "{name} cannot be taken from the events"
        );
    }
    schema["required"] = json!(FIRST_FIELDS);
    schema
}

/// Data that names the task, its user and the moment.
fn about_a_task<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    let whose = [("task_id", uuid()), ("user_id", user_id())];
    object(
        whose
            .into_iter()
            .chain(members)
            .chain([("timestamp", timestamp())]),
    )
}

fn timestamp() -> Value {
    described(instant(), "The event's `time`.")
}

/// Text with one of these values today; more may be added.
fn extensible(values: Vec<&str>) -> Value {
    json!({"type": "string", "x-extensible-enum": values})
}

/// The CloudEvent around any data.
pub(super) fn envelope() -> Value {
    let mut schema = object([
        (
            "specversion",
            json!({"type": "string", "const": "1.0", "description": "The version of CloudEvents."}),
        ),
        (
            "id",
            described(
                uuid(),
                "The same whenever the event is delivered or published again.",
            ),
        ),
        (
            "source",
            json!({
                "type": "string", "format": "uri-reference", "pattern": "^/todo/users/[A-Za-z0-9._%-]+$",
                "description": "`/todo/users/` and the user's id, percent-encoded: one source for each sequence.",
            }),
        ),
        (
            "type",
            json!({"type": "string", "description": "What happened."}),
        ),
        ("subject", described(uuid(), "The task.")),
        (
            "time",
            described(
                instant(),
                "When the change was committed to the user's lane.",
            ),
        ),
        (
            "datacontenttype",
            json!({"type": "string", "const": "application/json"}),
        ),
        (
            "dataschema",
            json!({
                "type": "string", "format": "uri",
                "description": "The `$id` of the schema of the data, which the service serves at `/schemas/` and this.",
            }),
        ),
        (
            "partitionkey",
            described(user_id(), "The user; also the key of the record."),
        ),
        (
            "sequence",
            json!({
                "type": "string", "pattern": "^[0-9]{20}$",
                "description": "The event's number among those of its source, from 1 on, without a gap.",
            }),
        ),
        ("data", json!({"type": "object"})),
    ]);
    let optional = [
        (
            "causationid",
            described(
                uuid(),
                "The event that caused this one; only on events of handlers.",
            ),
        ),
        (
            "traceparent",
            json!({"type": "string", "description": "The trace that the event belongs to (W3C Trace Context)."}),
        ),
        (
            "traceid",
            json!({"type": "string", "description": "The same as `traceparent`."}),
        ),
        (
            "tracestate",
            json!({"type": "string", "description": "Set by Dapr."}),
        ),
        (
            "topic",
            json!({"type": "string", "description": "The topic, set by Dapr."}),
        ),
        (
            "pubsubname",
            json!({"type": "string", "description": "The component that published it, set by Dapr."}),
        ),
    ];
    for (name, member) in optional {
        schema["properties"][name] = member;
    }
    schema["description"] = json!("A CloudEvent 1.0 in structured JSON.");
    schema
}

/// Data of the form that the service writes.
fn example(event_type: EventType, schema: &Value) -> Value {
    let members = schema["properties"].as_object().into_iter().flatten();
    let members = members.map(|(name, schema)| (name.clone(), value(name, schema)));
    let mut example = Value::Object(members.collect());
    match event_type {
        EventType::TaskCompleted => {
            example["completed"] = json!(true);
            example["completed_at"] = example["timestamp"].clone();
        }
        EventType::TaskSkipped => example["skipped_at"] = example["timestamp"].clone(),
        _ => {}
    }
    example
}

/// A member's value in examples, which are of a weekly task.
fn value(name: &str, schema: &Value) -> Value {
    match name {
        "task_id" | "series_id" => json!("019b0b5e-6f10-7d2b-8f43-3f1f0a3c9b02"),
        "user_id" => json!("alice"),
        "title" | "task_title" => json!("Water the plants"),
        "completed" | "was_completed" => json!(false),
        "priority" => json!("medium"),
        "tags" => json!(["home"]),
        "due_date" => json!("2026-02-01T08:00:00.000000Z"),
        "remind_at" => json!("2026-01-31T08:00:00.000000Z"),
        "timezone" => json!("Europe/Berlin"),
        "is_recurring" => json!(true),
        "recurring_interval" => json!("weekly"),
        "reminders" => json!([{"before": "P1D"}]),
        "moments" => json!(["2026-01-31T08:00:00.000000Z"]),
        "recurrence" => json!({"rule": "FREQ=WEEKLY", "from": "schedule", "missed": "skip"}),
        "occurrence" | "anchor_day" | "version" => json!(1),
        "created_at" | "updated_at" | "timestamp" => json!("2026-01-30T08:00:00.123456Z"),
        "changed_fields" => json!(["due_date", "title"]),
        "reason" => json!("completed"),
        name => {
            let is_nullable = schema["type"]
                .as_array()
                .is_some_and(|types| types.contains(&json!("null")));
            match &schema["examples"][0] {
                Value::Null if is_nullable => Value::Null,
                Value::Null => panic!("{name} has no example"),
                example => example.clone(),
            }
        }
    }
}
