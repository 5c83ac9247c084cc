//! What a body says of how a task recurs.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Change, Fields, take};
use crate::recurrence::{CountedFrom, Missed};
use crate::rule::Rule;
use crate::task::Interval;
use crate::violation::{MOST_VIOLATIONS, Violation};

/// The members of a recurrence that a body names; null stands for a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RecurrencePatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<CountedFrom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<Missed>,
}

impl Fields {
    /// The interval that the body names.
    pub(super) fn interval(&self) -> Option<Interval> {
        match self.recurring_interval {
            Change::Value(interval) => Some(interval),
            Change::Absent | Change::Null => None,
        }
    }

    /// The violation if the body's interval and rule contradict each other.
    pub(super) fn contradiction(&self) -> Option<Violation> {
        let (recurs_by_it, interval) = match &self.recurrence {
            Change::Absent => return None,
            Change::Null => (false, None),
            Change::Value(RecurrencePatch { rule: None, .. }) => (true, self.interval()),
            Change::Value(RecurrencePatch {
                rule: Some(rule), ..
            }) => (true, rule.as_interval()),
        };
        let recurs = match self.is_recurring {
            Change::Absent => recurs_by_it,
            Change::Null => false,
            Change::Value(recurs) => recurs,
        };
        let named = match self.recurring_interval {
            Change::Absent => interval,
            Change::Null => None,
            Change::Value(named) => Some(named),
        };
        if recurs != recurs_by_it {
            Some(Violation::field(
                "is_recurring",
                "must be left out beside recurrence, or say the same",
            ))
        } else if named != interval {
            Some(Violation::field(
                "recurring_interval",
                "must be left out beside recurrence, or say the same",
            ))
        } else {
            None
        }
    }
}

/// The violation of the rule that a task without a recurrence has an interval exactly when it recurs.
pub fn recurrence_mismatch() -> Violation {
    Violation::field(
        "recurring_interval",
        "must be given exactly when is_recurring is true and there is no recurrence",
    )
}

/// The violation of the rule that a recurrence has a rule, by itself or by an interval.
pub fn rule_missing() -> Violation {
    Violation::field("rule", "is required").inside("recurrence")
}

/// Like [`take`], with a pointer to the member that is wrong.
pub(super) fn take_recurrence(
    members: &mut Map<String, Value>,
    violations: &mut Vec<Violation>,
) -> Change<RecurrencePatch> {
    let mut members = match members.remove("recurrence") {
        None => return Change::Absent,
        Some(Value::Null) => return Change::Null,
        Some(Value::Object(members)) => members,
        Some(_) => {
            violations.push(Violation::field(
                "recurrence",
                r#"must be an object such as {"rule": "FREQ=WEEKLY;BYDAY=MO,TH"}"#,
            ));
            return Change::Absent;
        }
    };
    let mut faults = Vec::new();
    let rule = take(&mut members, "rule", "must be a string", &mut faults);
    let from = take(
        &mut members,
        "from",
        "must be schedule or completion",
        &mut faults,
    );
    let missed = take(&mut members, "missed", "must be skip or keep", &mut faults);
    if rule == Change::Null {
        faults.push(Violation::field("rule", "cannot be cleared"));
    }
    for name in members.keys().take(MOST_VIOLATIONS) {
        let detail = "is unknown; the members are rule, from and missed";
        faults.push(Violation::field(name, detail));
    }
    let is_sound = faults.is_empty();
    violations.extend(faults.into_iter().map(|fault| fault.inside("recurrence")));
    if !is_sound {
        return Change::Absent;
    }
    Change::Value(RecurrencePatch {
        rule: rule.into_option(),
        from: or_default(from),
        missed: or_default(missed),
    })
}

/// What a member of a merge patch sets a value with a default to; `None` if it leaves it.
fn or_default<T: Default>(change: Change<T>) -> Option<T> {
    match change {
        Change::Absent => None,
        Change::Null => Some(T::default()),
        Change::Value(value) => Some(value),
    }
}
