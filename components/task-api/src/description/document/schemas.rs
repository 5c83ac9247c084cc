//! The JSON that requests, answers and events hold.

use domain::batch::{CREATE, MOST_OPERATIONS, Step, UPDATE};
use domain::calendar_secret::CalendarSecret;
use domain::event::EventType;
use domain::idempotency_key::IdempotencyKey;
pub(super) mod events;

use domain::change_feed;
use domain::duration::Duration;
use domain::page;
use domain::recurrence::{CountedFrom, Missed};
use domain::reminder::Reminders;
use domain::rule::Rule;
use domain::task::{Interval, Priority, Tag, Tags, TimeZoneName, Title};
use domain::task_fields::{READ_ONLY, WRITABLE, parse_new_task, parse_task_patch};
use domain::user_id::UserId;
use domain::violation::Location;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A regular expression of text without NUL that is not only white space, for a class of what else it may not have.
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
pub(super) fn text(shortest: usize, longest: usize) -> Value {
    json!({"type": "string", "minLength": shortest, "maxLength": longest, "pattern": r"^[^\x00]*$"})
}

/// An instant.
pub(super) fn instant() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// A day.
pub(super) fn date() -> Value {
    json!({"type": "string", "format": "date"})
}

/// A UUID.
pub(super) fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

/// A user's id.
pub(super) fn user_id() -> Value {
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
fn nullable(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    schema
}

fn described(mut schema: Value, meaning: &str) -> Value {
    schema["description"] = json!(meaning);
    schema
}

/// An object that has all of these members.
fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let members: Vec<(&str, Value)> = members.into_iter().collect();
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = members
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({"type": "object", "required": names, "properties": properties})
}

/// The values of a task's field, null left out.
fn field(name: &str) -> Value {
    match name {
        "id" => uuid(),
        "user_id" => user_id(),
        "title" => json!({
            "type": "string", "minLength": 1, "maxLength": Title::LONGEST,
            "pattern": concat!("^", not_blank!(""), "$"),
            "description": "White space around it is cut off.",
        }),
        "description" => text(0, domain::task::Description::LONGEST),
        "completed" => json!({"type": "boolean"}),
        "completed_at" | "created_at" | "updated_at" => instant(),
        "skipped_at" => described(
            instant(),
            "When the task was skipped in favour of the next of its series.",
        ),
        "priority" => priority(),
        "tags" => json!({
            "type": "array", "maxItems": Tags::MOST,
            "items": {
                "type": "string", "minLength": 1, "maxLength": Tag::LONGEST, "pattern": format!("^{TAG}$"),
            },
            "description": "Labels without a comma. White space around one is cut off; one given twice is kept once.",
        }),
        "due_date" => described(
            instant(),
            "With any offset, in the years 0001 to 9998; kept as an instant, to the microsecond.",
        ),
        "timezone" => json!({
            "type": "string",
            "pattern": format!("^[A-Za-z0-9{}]{{1,{}}}$", class(TimeZoneName::SYMBOLS), TimeZoneName::LONGEST),
            "examples": ["Europe/Berlin"],
            "description": "The IANA time zone whose wall clock a recurring task follows.",
        }),
        "is_recurring" => described(
            json!({"type": "boolean"}),
            "Whether completing it makes the next instance.",
        ),
        "recurring_interval" => described(
            one_of(&Interval::ALL),
            "The simple form of `recurrence`: without that, it is given exactly when `is_recurring` is true. Null where no \
             interval says the same as the rule.",
        ),
        "recurrence" => described(
            json!({
                "type": "object",
                "required": ["rule"],
                "properties": {"rule": rule(), "from": counted_from(), "missed": missed()},
            }),
            "How the task recurs. The next instance appears when this one is completed or skipped.",
        ),
        "reminders" => described(
            json!({"type": "array", "maxItems": Reminders::MOST, "items": reminder()}),
            "When the task is to be reminded of. Null is once, the deployment's lead before the due date (a day, unless it \
             is set otherwise); an empty list is not at all. Needs a due date; without one, no reminder comes. The next \
             instance of a recurring task has its reminders as far from its due date.",
        ),
        "series_id" => described(uuid(), "The first task of the series."),
        "occurrence" => described(
            json!({"type": "integer", "minimum": 1}),
            "The task's number in its series.",
        ),
        "anchor_day" => described(
            json!({"type": "integer", "minimum": 1, "maximum": 31}),
            "The day of the month that a series aims at where its rule does not say.",
        ),
        "wall_clock_due" => described(
            json!({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}$"}),
            "What the clocks of `timezone` would have shown at `due_date`, where they skip that time; the series goes on \
             from there. Else null.",
        ),
        "version" => described(
            json!({"type": "integer", "minimum": 1}),
            "One more with every change.",
        ),
        name => panic!("the field {name} has no description"),
    }
}

fn duration() -> Value {
    json!({
        "type": "string", "pattern": Duration::PATTERN, "examples": ["PT30M", "P1DT12H"],
        "description": "An ISO 8601 duration in weeks, or in days of 24 hours, hours, minutes and seconds.",
    })
}

fn reminder() -> Value {
    either(
        ("before", "So long before the due date."),
        ("at", "At this instant."),
    )
}

/// An object with a length of time or with an instant.
fn either((length, for_so_long): (&str, &str), (at, then): (&str, &str)) -> Value {
    let forms = [
        (length, described(duration(), for_so_long)),
        (at, described(instant(), then)),
    ];
    let forms = forms.map(|(name, schema)| {
        json!({
            "type": "object", "required": [name], "properties": {name: schema}, "additionalProperties": false,
        })
    });
    json!({"oneOf": forms})
}

/// To when a notification is put off.
fn snooze() -> Value {
    let mut snooze = either(
        ("for", "So long from now, 366 days at most."),
        ("until", "Until this instant, within 366 days."),
    );
    snooze["examples"] = json!([{"for": "PT10M"}, {"until": "2030-01-31T08:30:00+01:00"}]);
    snooze
}

fn rule() -> Value {
    json!({
        "type": "string", "maxLength": Rule::LONGEST, "pattern": "^[A-Za-z0-9=;,+-]+$",
        "examples": ["FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH", "FREQ=MONTHLY;BYDAY=-1FR;COUNT=12"],
        "description":
            "The pattern of due dates: an RRULE of RFC 5545 with the parts FREQ (DAILY, WEEKLY, MONTHLY, YEARLY), INTERVAL, \
             BYMONTH, BYMONTHDAY, BYDAY, WKST, COUNT and UNTIL.",
    })
}

fn counted_from() -> Value {
    let mut schema = described(
        one_of(&CountedFrom::ALL),
        "What the next due date counts from: the due date, or the day of the completion.",
    );
    schema["default"] = json!(CountedFrom::default());
    schema
}

fn missed() -> Value {
    let mut schema = described(
        one_of(&Missed::ALL),
        "What becomes of due dates that passed while the task was open: `skip`, the next instance is due after the \
         completion; `keep`, it is the next of the pattern, even if that is due already.",
    );
    schema["default"] = json!(Missed::default());
    schema
}

/// A task in answers, its fields in the order that the service writes them in.
fn task() -> Value {
    let optional = [
        "description",
        "completed_at",
        "skipped_at",
        "due_date",
        "recurring_interval",
        "recurrence",
        "reminders",
        "anchor_day",
        "wall_clock_due",
    ];
    object(READ_ONLY.into_iter().chain(WRITABLE).map(|name| {
        let schema = field(name);
        let schema = if optional.contains(&name) {
            nullable(schema)
        } else {
            schema
        };
        (name, schema)
    }))
}

/// A body that creates a task: required is what `domain` misses in an empty one, null allowed where it allows it, and
/// the defaults are those of a task that has nothing else.
fn new_task() -> Value {
    let required: Vec<String> = match parse_new_task(json!({})) {
        Ok(_) => Vec::new(),
        Err(violations) => violations
            .into_iter()
            .filter_map(|violation| match violation.location {
                Location::Pointer(pointer) => pointer.strip_prefix('/').map(str::to_owned),
                Location::Parameter(_) | Location::Header(_) => None,
            })
            .collect(),
    };
    let defaults = parse_new_task(json!({"title": "t"})).map(|task| json!(task));
    let defaults = defaults.unwrap_or_default();
    let mut schema = writable(|name, schema| {
        if !required.iter().any(|required| required == name) {
            schema["default"] = defaults[name].clone();
        }
    });
    schema["required"] = json!(required);
    schema["if"] =
        json!({"properties": {"recurrence": {"type": "object"}}, "required": ["recurrence"]});
    schema["then"] = json!({
        "properties": {
            "is_recurring": {"const": true}, "recurring_interval": false, "recurrence": {"required": ["rule"]},
        },
    });
    schema["else"] = json!({
        "if": {"properties": {"is_recurring": {"const": true}}, "required": ["is_recurring"]},
        "then": {
            "properties": {"recurring_interval": {"type": "string"}}, "required": ["recurring_interval"],
        },
        "else": {"properties": {"recurring_interval": {"type": "null"}}},
    });
    schema["allOf"] = json!([{
        "if": {
            "properties": {"reminders": {"type": "array", "minItems": 1}}, "required": ["reminders"],
        },
        "then": {"properties": {"due_date": {"type": "string"}}, "required": ["due_date"]},
    }]);
    schema["examples"] = json!([
        {"title": "Water plants"},
        {
            "title": "Pay the rent", "priority": "high", "tags": ["home"], "due_date": "2030-01-31T09:00:00+01:00",
            "timezone": "Europe/Berlin", "is_recurring": true, "recurring_interval": "monthly",
        },
        {
            "title": "Take out the bins", "due_date": "2030-01-07T19:00:00+01:00", "timezone": "Europe/Berlin",
            "recurrence": {"rule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH"},
            "reminders": [{"before": "PT30M"}, {"at": "2030-01-07T12:00:00+01:00"}],
        },
    ]);
    schema
}

/// A body that changes a task.
fn task_patch() -> Value {
    let mut schema = writable(|_, _| {});
    // What is said twice must be the same.
    schema["if"] =
        json!({"properties": {"recurrence": {"type": "object"}}, "required": ["recurrence"]});
    schema["then"] =
        json!({"properties": {"is_recurring": {"const": true}, "recurring_interval": false}});
    schema["else"] = json!({
        "if": {"required": ["recurrence"]},
        "then": {
            "properties": {"is_recurring": {"enum": [false, null]}, "recurring_interval": {"type": "null"}},
        },
    });
    schema["examples"] = json!([{"title": "Water all plants", "due_date": null}]);
    schema
}

/// An object of the fields that a client may set, null allowed where `domain` allows it.
fn writable(mut adjust: impl FnMut(&str, &mut Value)) -> Value {
    let mut schema = object(WRITABLE.map(|name| {
        let schema = field(name);
        let can_be_cleared = parse_task_patch(json!({name: null})).is_ok();
        let mut schema = if can_be_cleared {
            nullable(schema)
        } else {
            schema
        };
        if name == "recurrence" {
            close(&mut schema);
        }
        adjust(name, &mut schema);
        (name, schema)
    }));
    close(&mut schema);
    schema
}

/// An object as a body has it: no member must be there, and no other may.
fn close(schema: &mut Value) {
    schema["additionalProperties"] = json!(false);
    if let Some(members) = schema.as_object_mut() {
        members.remove("required");
    }
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

/// An event as the feed has it; on Kafka it is the same, with what Dapr adds.
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
