//! Tasks, and the bodies that create and change them; the body of a snooze.

use domain::duration::Duration;
use domain::recurrence::{CountedFrom, Missed};
use domain::reminder::Reminders;
use domain::rule::Rule;
use domain::task::{Interval, Tag, Tags, TimeZoneName, Title};
use domain::task_fields::{READ_ONLY, WRITABLE, parse_new_task, parse_task_patch};
use domain::violation::Location;
use serde_json::{Value, json};

use super::{
    TAG, TITLE, bounded_string, class, described, instant, nullable, object, one_of, priority,
    user_id, uuid,
};

/// The values of a task's field, null left out.
pub(crate) fn field(name: &str) -> Value {
    match name {
        "id" => uuid(),
        "user_id" => user_id(),
        "title" => json!({
            "type": "string", "minLength": 1, "maxLength": Title::LONGEST,
            "pattern": format!("^{TITLE}$"),
            "description": "White space around it is cut off.",
        }),
        "description" => bounded_string(0, domain::task::Description::LONGEST),
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

/// The body that puts a notification off.
pub(super) fn snooze() -> Value {
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
pub(crate) fn task() -> Value {
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

/// A body that creates a task. `domain` decides: a field is required if `domain` refuses a body without it, may be null
/// if `domain` allows it, and has the default of a task created without it.
pub(super) fn new_task() -> Value {
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
pub(super) fn task_patch() -> Value {
    let mut schema = writable(|_, _| {});
    // The interval and the rule must agree, where both are given.
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

/// An object of the fields that a client may set. A field may be null if `domain` allows it.
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

/// Turns the schema into one of a body: no member is required, and unknown members are refused.
fn close(schema: &mut Value) {
    schema["additionalProperties"] = json!(false);
    if let Some(members) = schema.as_object_mut() {
        members.remove("required");
    }
}
