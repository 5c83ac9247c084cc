//! What a body says of when a task is to be reminded of.

use serde_json::{Map, Value};

use super::Change;
use crate::reminder::{Reminder, Reminders};
use crate::snooze::length_or_instant;
use crate::violation::Violation;

const EXPECTED: &str =
    r#"must be an object, either {"before": "PT30M"} or {"at": "2026-01-31T08:30:00+01:00"}"#;

/// The violation of the rule that reminders need a due date.
pub fn due_date_missing() -> Violation {
    Violation::field("reminders", "need a due_date")
}

/// Takes the member out of the body, with a pointer to what is wrong.
pub(super) fn take_reminders(
    members: &mut Map<String, Value>,
    violations: &mut Vec<Violation>,
) -> Change<Reminders> {
    let items = match members.remove("reminders") {
        None => return Change::Absent,
        Some(Value::Null) => return Change::Null,
        Some(Value::Array(items)) => items,
        Some(_) => {
            violations.push(Violation::field("reminders", "must be a list of objects"));
            return Change::Absent;
        }
    };
    // Comparing more than this would be wasted work: too many are refused anyway.
    if items.len() > 2 * Reminders::MOST {
        let detail = format!("must have at most {} reminders", Reminders::MOST);
        violations.push(Violation::field("reminders", detail));
        return Change::Absent;
    }
    let before = violations.len();
    let mut reminders = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let mut faults = Vec::new();
        reminders.extend(reminder(item, &mut faults));
        let place = format!("reminders/{index}");
        violations.extend(faults.into_iter().map(|fault| fault.inside(&place)));
    }
    if violations.len() > before {
        return Change::Absent;
    }
    match Reminders::try_from(reminders) {
        Ok(reminders) => Change::Value(reminders),
        Err(error) => {
            violations.push(Violation::field("reminders", error.to_string()));
            Change::Absent
        }
    }
}

fn reminder(item: Value, faults: &mut Vec<Violation>) -> Option<Reminder> {
    let Value::Object(mut members) = item else {
        faults.push(Violation::pointer("", EXPECTED));
        return None;
    };
    let (before, at) = length_or_instant(&mut members, ["before", "at"], faults);
    if !faults.is_empty() {
        return None;
    }
    match (before, at) {
        (Change::Value(before), Change::Absent) if members.is_empty() => {
            Some(Reminder::Before(before))
        }
        (Change::Absent, Change::Value(at)) if members.is_empty() => Some(Reminder::At(at)),
        _ => {
            faults.push(Violation::pointer("", EXPECTED));
            None
        }
    }
}
