//! The bodies that create and change a task.

mod recurrence;
mod reminders;
mod tags;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::recurrence::{CountedFrom, Missed, Recurrence};
use crate::reminder::Reminders;
use crate::rule::Rule;
use crate::task::{Description, Interval, Priority, Tags, TimeZoneName, Title};
use crate::timestamp::Timestamp;
use crate::violation::{MOST_VIOLATIONS, Violation};

use recurrence::{RecurrencePatch, take_recurrence};
pub use recurrence::{recurrence_mismatch, rule_missing};
pub use reminders::due_date_missing;
use reminders::take_reminders;
use tags::take_tags;

/// The fields that a client may set.
pub const WRITABLE: [&str; 10] = [
    "title",
    "description",
    "priority",
    "tags",
    "due_date",
    "timezone",
    "is_recurring",
    "recurring_interval",
    "recurrence",
    "reminders",
];

/// The fields of a task that only the service sets.
pub const READ_ONLY: [&str; 12] = [
    "id",
    "user_id",
    "completed",
    "completed_at",
    "skipped_at",
    "series_id",
    "occurrence",
    "anchor_day",
    "wall_clock_due",
    "version",
    "created_at",
    "updated_at",
];

/// What a merge patch does to a field (RFC 7396): leaves, removes or sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change<T> {
    Absent,
    Null,
    Value(T),
}

impl<T> Change<T> {
    fn or_absent(self) -> Self {
        match self {
            Self::Null => Self::Absent,
            change => change,
        }
    }

    fn into_option(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

/// A task to be created, valid in itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewTask {
    /// What is to be done.
    pub title: Title,
    /// More about it.
    pub description: Option<Description>,
    /// How urgent it is.
    pub priority: Priority,
    /// Labels.
    pub tags: Tags,
    /// When it is due.
    pub due_date: Option<Timestamp>,
    /// The zone whose wall clock its due date follows.
    pub timezone: TimeZoneName,
    /// Whether completing it makes a next instance.
    pub is_recurring: bool,
    /// The interval, if it says the same as the rule.
    pub recurring_interval: Option<Interval>,
    /// How it recurs, if it does. This field and the next are left out of the JSON if they are not set: an idempotency
    /// key recognises a request by this JSON, and earlier versions had neither field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    /// When it is to be reminded of, if not by the deployment's lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reminders: Option<Reminders>,
}

/// A change to a task: JSON in which every member is a new value, defaults standing in for removed ones. The members of
/// `recurrence` are merged with the task's, one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPatch(Map<String, Value>);

impl TaskPatch {
    /// The new values by field name, ready to be laid over the task's representation.
    pub fn values(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// All writable fields as parsed from a body.
struct Fields {
    title: Change<Title>,
    description: Change<Description>,
    priority: Change<Priority>,
    tags: Change<Tags>,
    due_date: Change<Timestamp>,
    timezone: Change<TimeZoneName>,
    is_recurring: Change<bool>,
    recurring_interval: Change<Interval>,
    recurrence: Change<RecurrencePatch>,
    reminders: Change<Reminders>,
}

/// Parses the body of a request that creates a task.
///
/// # Errors
///
/// Every violation found, with the JSON pointer of the field.
pub fn parse_new_task(body: Value) -> Result<NewTask, Vec<Violation>> {
    let (mut fields, mut violations) = parse_fields(body)?;
    // A new task has no value that null could remove.
    fields.is_recurring = fields.is_recurring.or_absent();
    fields.recurring_interval = fields.recurring_interval.or_absent();
    fields.recurrence = fields.recurrence.or_absent();
    violations.extend(fields.contradiction());
    // If one of the fields is invalid already, this would be a second complaint about the same mistake.
    let reported = |violations: &[Violation], field: &str| {
        let field = Violation::field(field, "").location;
        violations
            .iter()
            .any(|violation| violation.location == field)
    };
    let by_interval = fields.interval().map(Rule::every);
    let recurrence = match fields.recurrence {
        Change::Value(RecurrencePatch { rule, from, missed }) => {
            let rule = rule.or(by_interval);
            if rule.is_none() && !reported(&violations, "recurring_interval") {
                violations.push(rule_missing());
            }
            rule.map(|rule| Recurrence {
                rule,
                from: from.unwrap_or_default(),
                missed: missed.unwrap_or_default(),
            })
        }
        Change::Absent | Change::Null => {
            let is_recurring = fields.is_recurring == Change::Value(true);
            if is_recurring != by_interval.is_some()
                && !reported(&violations, "recurring_interval")
                && !reported(&violations, "is_recurring")
                && !violations
                    .iter()
                    .any(|violation| violation.is_inside("recurrence"))
            {
                violations.push(recurrence_mismatch());
            }
            by_interval.map(|rule| Recurrence {
                rule,
                from: CountedFrom::default(),
                missed: Missed::default(),
            })
        }
    };
    let has_reminders =
        matches!(&fields.reminders, Change::Value(reminders) if !reminders.is_empty());
    let has_due_date = matches!(fields.due_date, Change::Value(_));
    if has_reminders && !has_due_date && !reported(&violations, "due_date") {
        violations.push(due_date_missing());
    }
    let title = match fields.title {
        Change::Value(title) => Some(title),
        Change::Absent | Change::Null => {
            if !reported(&violations, "title") {
                violations.push(Violation::field("title", "is required"));
            }
            None
        }
    };
    match title {
        Some(title) if violations.is_empty() => Ok(NewTask {
            title,
            description: fields.description.into_option(),
            priority: fields.priority.into_option().unwrap_or_default(),
            tags: fields.tags.into_option().unwrap_or_default(),
            due_date: fields.due_date.into_option(),
            timezone: fields.timezone.into_option().unwrap_or_default(),
            is_recurring: recurrence.is_some(),
            recurring_interval: recurrence
                .as_ref()
                .and_then(|recurrence| recurrence.rule.as_interval()),
            recurrence,
            reminders: fields.reminders.into_option(),
        }),
        _ => Err(violations),
    }
}

/// Parses a merge patch of a task (RFC 7396). `null` clears a field: to nothing where it is optional, to its default
/// where it has one.
///
/// Whether an interval or a recurrence is there exactly when the task recurs depends on the task being changed, so that rule
/// is checked where the change is applied, by [`recurrence_mismatch`]'s rule. So is that reminders need a due date.
///
/// # Errors
///
/// Every violation found, with the JSON pointer of the field.
pub fn parse_task_patch(body: Value) -> Result<TaskPatch, Vec<Violation>> {
    let (fields, mut violations) = parse_fields(body)?;
    violations.extend(fields.contradiction());
    if fields.title == Change::Null {
        violations.push(Violation::field("title", "cannot be cleared"));
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let mut values = Map::new();
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.insert(field.to_owned(), value);
        }
    };
    set("title", change(fields.title, Value::Null));
    set("description", change(fields.description, Value::Null));
    set(
        "priority",
        change(fields.priority, json(Priority::default())),
    );
    set("tags", change(fields.tags, json(Tags::default())));
    set("due_date", change(fields.due_date, Value::Null));
    set(
        "timezone",
        change(fields.timezone, json(TimeZoneName::default())),
    );
    set(
        "is_recurring",
        change(fields.is_recurring, Value::Bool(false)),
    );
    set(
        "recurring_interval",
        change(fields.recurring_interval, Value::Null),
    );
    set("recurrence", change(fields.recurrence, Value::Null));
    set("reminders", change(fields.reminders, Value::Null));
    Ok(TaskPatch(values))
}

fn change<T: Serialize>(change: Change<T>, cleared: Value) -> Option<Value> {
    match change {
        Change::Absent => None,
        Change::Null => Some(cleared),
        Change::Value(value) => Some(json(value)),
    }
}

fn json(value: impl Serialize) -> Value {
    // These types serialize to strings, booleans, and lists and objects of strings, which cannot fail.
    serde_json::to_value(value).unwrap_or_default()
}

fn parse_fields(body: Value) -> Result<(Fields, Vec<Violation>), Vec<Violation>> {
    let Value::Object(mut members) = body else {
        return Err(vec![Violation::pointer("", "must be a JSON object")]);
    };
    let mut violations = Vec::new();
    let fields = Fields {
        title: take(&mut members, "title", "must be a string", &mut violations),
        description: take(
            &mut members,
            "description",
            "must be a string",
            &mut violations,
        ),
        priority: take(
            &mut members,
            "priority",
            "must be low, medium or high",
            &mut violations,
        ),
        tags: take_tags(&mut members, &mut violations),
        due_date: take(
            &mut members,
            "due_date",
            "must be an RFC 3339 date-time with an offset, such as 2026-01-31T09:00:00+01:00",
            &mut violations,
        ),
        timezone: take(
            &mut members,
            "timezone",
            "must be a name of the IANA time-zone database, such as Europe/Berlin",
            &mut violations,
        ),
        is_recurring: take(
            &mut members,
            "is_recurring",
            "must be true or false",
            &mut violations,
        ),
        recurring_interval: take(
            &mut members,
            "recurring_interval",
            "must be daily, weekly or monthly",
            &mut violations,
        ),
        recurrence: take_recurrence(&mut members, &mut violations),
        reminders: take_reminders(&mut members, &mut violations),
    };
    let room = MOST_VIOLATIONS.saturating_sub(violations.len());
    for name in members.keys().take(room) {
        violations.push(if READ_ONLY.contains(&name.as_str()) {
            Violation::field(name, "is read-only")
        } else {
            Violation::field(
                name,
                format!("is unknown; the fields are {}", WRITABLE.join(", ")),
            )
        });
    }
    Ok((fields, violations))
}

/// Takes a member out of the body and parses it; `expected` says what a value of the wrong JSON type should be.
pub(crate) fn take<T: DeserializeOwned>(
    members: &mut Map<String, Value>,
    field: &str,
    expected: &str,
    violations: &mut Vec<Violation>,
) -> Change<T> {
    match members.remove(field) {
        None => Change::Absent,
        Some(Value::Null) => Change::Null,
        Some(value) => {
            let is_text = value.is_string();
            match serde_json::from_value(value) {
                Ok(value) => Change::Value(value),
                Err(error) => {
                    // If the JSON type is right, the error of the field's type explains the rule. Serde's message about
                    // a wrong JSON type or variant would repeat the value.
                    let message = error.to_string();
                    let explains = is_text && message.starts_with("must ");
                    violations.push(Violation::field(
                        field,
                        if explains { &message } else { expected },
                    ));
                    Change::Absent
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
