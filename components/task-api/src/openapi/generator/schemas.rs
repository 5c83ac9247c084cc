//! The JSON that requests, answers and events hold.

pub(crate) mod tasks;

use domain::batch::{CREATE, MOST_OPERATIONS, Step, UPDATE};
use domain::calendar_secret::CalendarSecret;
use domain::change_feed;
use domain::event::EventType;
use domain::idempotency_key::IdempotencyKey;
use domain::page;
use domain::task::Priority;
use domain::user_id::UserId;
use serde::Serialize;
use serde_json::{Map, Value, json};

use tasks::{field, new_task, snooze, task, task_patch};

/// A regular expression for text that contains no NUL, none of the `excluded` characters, and not only white space.
macro_rules! not_blank {
    ($excluded:literal) => {
        concat!(
            "[^",
            $excluded,
            r"\x00]*[^",
            $excluded,
            r"\s\x00][^",
            $excluded,
            r"\x00]*"
        )
    };
}

/// A tag, as a regular expression.
pub(super) const TAG: &str = not_blank!(",");

/// A title, as a regular expression.
const TITLE: &str = not_blank!("");

/// Every schema by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("Task", task()),
        ("NewTask", new_task()),
        ("TaskPatch", task_patch()),
        ("Batch", batch()),
        ("Operation", operation()),
        ("BatchResults", batch_results()),
        ("Notification", notification()),
        ("Snooze", snooze()),
        ("Marked", marked()),
        ("Analytics", analytics()),
        ("CalendarAddress", calendar_address()),
        ("Counts", counts()),
        ("Changes", changes()),
        ("Event", event()),
        ("Status", status()),
        ("Problem", problem()),
    ];
    schemas
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// The schema of that name.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Text without NUL.
pub(super) fn bounded_string(shortest: usize, longest: usize) -> Value {
    json!({"type": "string", "minLength": shortest, "maxLength": longest, "pattern": r"^[^\x00]*$"})
}

/// An instant.
pub(crate) fn instant() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// A day.
pub(super) fn date() -> Value {
    json!({"type": "string", "format": "date"})
}

/// A UUID.
pub(crate) fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

/// A user's id.
pub(crate) fn user_id() -> Value {
    let (reserved, symbols, longest) = (UserId::RESERVED, UserId::SYMBOLS, UserId::LONGEST);
    json!({
        "type": "string",
        "pattern": format!("^(?!{reserved}$)[A-Za-z0-9{}]{{1,{longest}}}$", class(symbols)),
    })
}

/// One of the priorities.
pub(super) fn priority() -> Value {
    one_of(&Priority::ALL)
}

fn one_of(values: &[impl Serialize]) -> Value {
    json!({"type": "string", "enum": values})
}

/// Characters as they are written between the brackets of a regular expression.
fn class(characters: &str) -> String {
    characters
        .chars()
        .map(|character| match character {
            '-' | ']' | '\\' | '^' => format!("\\{character}"),
            _ => character.to_string(),
        })
        .collect()
}

/// A schema that null fits too.
pub(crate) fn nullable(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    schema
}

pub(crate) fn described(mut schema: Value, meaning: &str) -> Value {
    schema["description"] = json!(meaning);
    schema
}

/// An object that has all of these members.
pub(crate) fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let members: Vec<(&str, Value)> = members.into_iter().collect();
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = members
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({"type": "object", "required": names, "properties": properties})
}

/// Operations to be run in order.
fn batch() -> Value {
    let mut operations = json!({"type": "array", "minItems": 1, "maxItems": MOST_OPERATIONS});
    operations["items"] = reference("Operation");
    let mut batch = object([("operations", operations)]);
    batch["additionalProperties"] = json!(false);
    batch["examples"] = json!([{"operations": [
        {"op": "create", "task": {"title": "Water plants"}, "idempotency_key": "0b0d1c53"},
        {"op": "update", "task_id": "018f0000-0000-7000-8000-000000000000", "patch": {"priority": "high"}, "version": 3},
        {"op": "complete", "task_id": "018f0000-0000-7000-8000-000000000000"},
    ]}]);
    batch
}

fn operation() -> Value {
    let version = || {
        let version = nullable(json!({"type": "integer", "minimum": 1, "maximum": i64::MAX}));
        described(version, "Only if the task is at this version.")
    };
    let key = json!({
        "type": "string", "minLength": 1, "maxLength": IdempotencyKey::LONGEST, "pattern": "^[!-~]+$",
    });
    let steps = Step::ALL.map(Step::as_str);
    let forms = [
        (
            object([
                ("op", json!({"const": CREATE})),
                ("task", reference("NewTask")),
            ]),
            ("idempotency_key", nullable(key)),
        ),
        (
            object([
                ("op", json!({"const": UPDATE})),
                ("task_id", uuid()),
                ("patch", reference("TaskPatch")),
            ]),
            ("version", version()),
        ),
        (
            object([("op", json!({"enum": steps})), ("task_id", uuid())]),
            ("version", version()),
        ),
    ];
    let forms = forms.map(|(mut form, (optional, schema))| {
        form["properties"][optional] = schema;
        form["additionalProperties"] = json!(false);
        form
    });
    json!({"oneOf": forms})
}

fn batch_results() -> Value {
    let status = json!({"type": "integer", "minimum": 200, "maximum": 499});
    let mut result = object([(
        "status",
        described(status, "That of the operation's own route."),
    )]);
    result["properties"]["task"] = reference("Task");
    result["properties"]["problem"] = described(
        reference("Problem"),
        "Why it was refused; pointers begin with `/operations/` and its number.",
    );
    let results =
        json!({"type": "array", "minItems": 1, "maxItems": MOST_OPERATIONS, "items": result});
    object([(
        "results",
        described(results, "One for each operation, in the same order."),
    )])
}

fn notification() -> Value {
    object([
        ("id", uuid()),
        ("user_id", user_id()),
        ("task_id", uuid()),
        ("task_title", field("title")),
        ("remind_at", instant()),
        ("due_date", nullable(instant())),
        ("created_at", instant()),
        ("read", json!({"type": "boolean"})),
        ("read_at", nullable(instant())),
        (
            "snoozed_until",
            described(
                nullable(instant()),
                "To when it was put off last, if it was.",
            ),
        ),
    ])
}

fn marked() -> Value {
    object([("marked", json!({"type": "integer", "minimum": 0}))])
}

fn analytics() -> Value {
    let day = object([("day", date()), ("counts", reference("Counts"))]);
    object([
        ("from", date()),
        ("to", date()),
        ("totals", reference("Counts")),
        (
            "completion_rate",
            described(
                json!({"type": ["number", "null"], "minimum": 0}),
                "Completed over created tasks; null where none was created.",
            ),
        ),
        (
            "days",
            json!({"type": "array", "items": day, "description": "Days with events, in order."}),
        ),
    ])
}

fn calendar_address() -> Value {
    let path = json!({
        "type": "string",
        "format": "uri-reference",
        "pattern": format!("^/calendar/[A-Za-z0-9_-]{{{}}}\\.ics$", CalendarSecret::CHARACTERS),
    });
    object([("path", path), ("created_at", instant())])
}

fn counts() -> Value {
    json!({
        "type": "object",
        "description": "Number of events by type.",
        "propertyNames": {"enum": EventType::ALL.map(EventType::as_str)},
        "additionalProperties": {"type": "integer", "minimum": 1},
    })
}

fn changes() -> Value {
    object([
        (
            "events",
            json!({"type": "array", "maxItems": page::LARGEST_LIMIT, "items": reference("Event")}),
        ),
        (
            "last",
            described(
                json!({"type": "integer", "minimum": 0, "maximum": change_feed::LARGEST_NUMBER}),
                "The number to go on after.",
            ),
        ),
        (
            "more",
            described(
                json!({"type": "boolean"}),
                "Whether there are more already.",
            ),
        ),
    ])
}

/// An event as the feed returns it. On Kafka it is the same, with what Dapr adds.
fn event() -> Value {
    let types = EventType::ALL.map(EventType::as_str);
    let mut event = object([
        ("specversion", json!({"type": "string", "const": "1.0"})),
        ("id", uuid()),
        (
            "source",
            json!({"type": "string", "format": "uri-reference"}),
        ),
        ("type", json!({"type": "string", "enum": types})),
        ("subject", described(uuid(), "The task.")),
        ("time", instant()),
        (
            "datacontenttype",
            json!({"type": "string", "const": "application/json"}),
        ),
        ("dataschema", json!({"type": "string", "format": "uri"})),
        ("partitionkey", user_id()),
        (
            "sequence",
            described(
                json!({"type": "string", "pattern": "^[0-9]{20}$"}),
                "The event's number among the user's.",
            ),
        ),
        (
            "data",
            described(
                json!({"type": "object"}),
                "Of task events but `task.deleted` the task, its `id` named `task_id`.",
            ),
        ),
    ]);
    event["description"] = json!("A CloudEvent (CloudEvents 1.0, structured JSON).");
    event["properties"]["causationid"] = described(uuid(), "The event that caused this one.");
    event
}

fn status() -> Value {
    object([("status", json!({"type": "string", "const": "ok"}))])
}

fn problem() -> Value {
    let mut problem = object([
        ("type", json!({"type": "string", "format": "uri"})),
        ("title", json!({"type": "string"})),
        ("status", json!({"type": "integer"})),
        (
            "detail",
            described(json!({"type": "string"}), "For people."),
        ),
    ]);
    let place = |name: &str, meaning: &str| {
        json!({
            "required": [name],
            "properties": {name: {"type": "string", "description": meaning}},
        })
    };
    problem["description"] = json!("Problem details (RFC 9457).");
    problem["properties"]["errors"] = json!({
        "type": "array",
        "minItems": 1,
        "description": "Each mistake with its place.",
        "items": {
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string"}},
            "oneOf": [
                place("pointer", "A JSON pointer into the body (RFC 6901)."),
                place("parameter", "The name of a query parameter."),
                place("header", "The name of a header field."),
            ],
        },
    });
    problem
}
