//! The JSON that answers hold.

use domain::page;
use serde_json::{Map, Value, json};

use crate::dead_letters::BYTES_SHOWN;
use crate::overview::MOST_COUNTED;

/// The schema of that name.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Every schema by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("Overview", overview()),
        ("Lanes", lanes()),
        ("Lane", lane()),
        ("Retried", retried()),
        ("Skipped", skipped()),
        ("DeadLetter", dead_letter()),
        ("Problem", problem()),
    ];
    schemas
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// An object with these members, all of them always there.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "required": required, "properties": properties})
}

fn said(mut schema: Value, meaning: &str) -> Value {
    schema["description"] = json!(meaning);
    schema
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn counted() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 2 * u32::from(MOST_COUNTED)})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn instant() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn or_null(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

fn more() -> Value {
    said(
        boolean(),
        "Whether there are more than were looked at: then the numbers are of those.",
    )
}

fn breaker() -> Value {
    said(
        json!({"type": "string", "enum": ["closed", "open", "half_open"]}),
        "`half_open`: the next call is the probe.",
    )
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn overview() -> Value {
    object([
        ("now", said(instant(), "The database's clock, for ages.")),
        (
            "queue",
            said(
                object([
                    ("lanes", counted()),
                    (
                        "events",
                        said(count(), "Events that are not yet published."),
                    ),
                    ("resting", counted()),
                    (
                        "blocked",
                        said(counted(), "Lanes that wait for an operator."),
                    ),
                    (
                        "oldest",
                        said(
                            or_null(instant()),
                            "Since when the oldest of the events waits.",
                        ),
                    ),
                    ("more", more()),
                ]),
                "What waits for publishing.",
            ),
        ),
        (
            "publishers",
            list(object([
                ("sidecar", text()),
                ("breaker", breaker()),
                ("failures", count()),
                ("retry_at", or_null(instant())),
                ("publishing", boolean()),
                (
                    "tended_at",
                    said(
                        instant(),
                        "When the sidecar's relay last looked after it; once a minute.",
                    ),
                ),
            ])),
        ),
        (
            "jobs",
            said(
                list(object([
                    ("sidecar", text()),
                    ("breaker", breaker()),
                    ("failures", count()),
                    ("retry_at", instant()),
                ])),
                "Breakers of the sidecars' Jobs API; one that never opened is not here.",
            ),
        ),
        (
            "reminders",
            object([
                ("overdue", counted()),
                ("oldest", or_null(instant())),
                ("more", more()),
            ]),
        ),
        (
            "dead_letters",
            object([
                ("open", counted()),
                ("oldest", or_null(instant())),
                ("more", more()),
            ]),
        ),
        (
            "throughput",
            object([
                (
                    "complete_since",
                    said(
                        instant(),
                        "Before this instant not all events were counted.",
                    ),
                ),
                (
                    "minutes",
                    list(object([
                        ("start", instant()),
                        ("events", said(count(), "Events appended.")),
                    ])),
                ),
            ]),
        ),
        (
            "latencies",
            said(
                list(object([
                    ("handler", text()),
                    (
                        "claims",
                        said(count(), "How many were looked at, the latest."),
                    ),
                    ("median_ms", json!({"type": "number"})),
                    ("p95_ms", json!({"type": "number"})),
                    ("longest_ms", json!({"type": "number"})),
                ])),
                "From an event's commit to its claim by a handler.",
            ),
        ),
    ])
}

fn lanes() -> Value {
    object([
        (
            "lanes",
            json!({"type": "array", "maxItems": page::LARGEST_LIMIT, "items": reference("Lane")}),
        ),
        ("more", boolean()),
    ])
}

fn lane() -> Value {
    let mut event = object([
        ("id", json!({"type": "string", "format": "uuid"})),
        ("type", text()),
        ("task_id", json!({"type": "string", "format": "uuid"})),
        ("time", said(instant(), "Since when it waits.")),
        ("bytes", count()),
    ]);
    event["type"] = json!(["object", "null"]);
    object([
        ("user_id", text()),
        (
            "state",
            said(
                json!({"type": "string", "enum": ["blocked", "held", "resting", "waiting"]}),
                "`blocked`: the next event was refused for good or is missing; `held`: somebody is publishing it.",
            ),
        ),
        ("events", said(count(), "How many wait.")),
        (
            "attempts",
            said(
                count(),
                "How often the next event was tried without success.",
            ),
        ),
        ("held", boolean()),
        ("rests", boolean()),
        (
            "turn_at",
            said(
                or_null(instant()),
                "Until when the lane rests, or since when its turn has come.",
            ),
        ),
        ("sequence", said(count(), "The number of the next event.")),
        (
            "event",
            said(event, "The next event; null where it is missing."),
        ),
    ])
}

fn retried() -> Value {
    object([(
        "outcome",
        said(
            json!({"type": "string", "enum": ["retried", "held"]}),
            "`held`: somebody is publishing its event just now.",
        ),
    )])
}

fn skipped() -> Value {
    object([
        (
            "dead_letter_id",
            said(
                json!({"type": ["string", "null"], "format": "uuid"}),
                "What the event is now; null where it was missing.",
            ),
        ),
        (
            "left",
            said(count(), "How many events of the user still wait."),
        ),
    ])
}

fn dead_letter() -> Value {
    object([
        ("id", json!({"type": "string", "format": "uuid"})),
        (
            "status",
            json!({"type": "string", "enum": ["open", "replayed", "discarded"]}),
        ),
        (
            "topic",
            said(
                text(),
                "The topic that it came from; `unknown` where its record did not say.",
            ),
        ),
        (
            "partition",
            said(json!({"type": "integer"}), "-1: it was never in the topic."),
        ),
        ("offset", json!({"type": "integer"})),
        ("event_id", or_null(text())),
        ("event_type", or_null(text())),
        (
            "user_id",
            said(or_null(text()), "Whose event it is, else the record's key."),
        ),
        (
            "deliveries",
            said(
                json!({"type": "integer", "minimum": 1}),
                "How often it was given up.",
            ),
        ),
        ("first_received_at", instant()),
        ("last_received_at", instant()),
        ("resolved_at", or_null(instant())),
        ("bytes", said(count(), "How long the record is.")),
        (
            "encoding",
            json!({"type": "string", "enum": ["utf-8", "base64"]}),
        ),
        (
            "payload",
            said(
                json!({"type": "string", "maxLength": BYTES_SHOWN / 3 * 4 + 4}),
                "The record, or its beginning: whoever wrote it chose every character.",
            ),
        ),
        ("is_cut", said(boolean(), "Whether the record goes on.")),
    ])
}

fn problem() -> Value {
    let place = |name: &str| json!({"required": [name], "properties": {name: {"type": "string"}}});
    let mut problem = object([
        ("type", json!({"type": "string", "format": "uri"})),
        ("title", text()),
        ("status", json!({"type": "integer"})),
        ("detail", said(text(), "For people.")),
    ]);
    problem["properties"]["errors"] = json!({
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string"}},
            "oneOf": [place("pointer"), place("parameter")],
        },
    });
    problem
}
