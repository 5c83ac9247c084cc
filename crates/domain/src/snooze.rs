//! The body that puts a notification off.

use serde_json::{Map, Value};

use crate::duration::Duration;
use crate::task_fields::{Change, take};
use crate::timestamp::Timestamp;
use crate::violation::{MOST_VIOLATIONS, Violation};

/// To when a notification is put off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snooze {
    /// For this long, from now.
    For(Duration),
    /// Until this instant.
    Until(Timestamp),
}

const EXPECTED: &str =
    r#"must be either {"for": "PT10M"} or {"until": "2026-01-31T08:30:00+01:00"}"#;

/// Parses the body, `{"for": duration}` or `{"until": instant}`. Whether the moment is still to come depends on the clock, so
/// that is checked where it is written.
///
/// # Errors
///
/// Every violation found, with the JSON pointer of the field.
pub fn parse_snooze(body: Value) -> Result<Snooze, Vec<Violation>> {
    let Value::Object(mut members) = body else {
        return Err(vec![Violation::pointer("", "must be a JSON object")]);
    };
    let mut violations = Vec::new();
    let (length, instant) = length_or_instant(&mut members, ["for", "until"], &mut violations);
    for name in members.keys().take(MOST_VIOLATIONS) {
        violations.push(Violation::field(
            name,
            "is unknown; the fields are for and until",
        ));
    }
    match (length, instant) {
        _ if !violations.is_empty() => Err(violations),
        (Change::Value(length), Change::Absent) => Ok(Snooze::For(length)),
        (Change::Absent, Change::Value(instant)) => Ok(Snooze::Until(instant)),
        _ => Err(vec![Violation::pointer("", EXPECTED)]),
    }
}

/// Takes a length of time and an instant out of an object.
pub(crate) fn length_or_instant(
    members: &mut Map<String, Value>,
    [length, instant]: [&str; 2],
    violations: &mut Vec<Violation>,
) -> (Change<Duration>, Change<Timestamp>) {
    (
        take(members, length, "must be a string", violations),
        take(members, instant, "must be a string", violations),
    )
}

/// The violation of the rule that a notification is put off to a moment that is still to come.
pub fn passed(snooze: &Snooze) -> Violation {
    Violation::field(snooze.field(), "must name a moment that is still to come")
}

/// The violation of the rule that a notification is put off by a year at most.
pub fn too_far(snooze: &Snooze) -> Violation {
    Violation::field(snooze.field(), "must name a moment within 366 days")
}

impl Snooze {
    fn field(&self) -> &'static str {
        match self {
            Self::For(_) => "for",
            Self::Until(_) => "until",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::violation::Location;

    #[test]
    fn a_snooze_for_a_duration_or_until_an_instant_is_read() {
        let length = parse_snooze(json!({"for": "PT10M"}));
        assert_eq!(length, Ok(Snooze::For(Duration::parse("PT10M").unwrap())));
        let instant = parse_snooze(json!({"until": "2026-01-31T08:30:00+01:00"}));
        let expected = Timestamp::parse("2026-01-31T07:30:00Z").unwrap();
        assert_eq!(instant, Ok(Snooze::Until(expected)));
    }

    #[test]
    fn each_mistake_in_a_snooze_is_named() {
        for (body, expected) in [
            (json!("PT10M"), vec![""]),
            (json!({}), vec![""]),
            (json!({"for": null}), vec![""]),
            (
                json!({"for": "PT10M", "until": "2026-01-31T08:30:00Z"}),
                vec![""],
            ),
            (json!({"for": 10}), vec!["/for"]),
            (
                json!({"for": "10m", "until": "later", "why": "x"}),
                vec!["/for", "/until", "/why"],
            ),
        ] {
            let pointers: Vec<String> = parse_snooze(body.clone())
                .unwrap_err()
                .into_iter()
                .map(|violation| match violation.location {
                    Location::Pointer(pointer) => pointer,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(pointers, expected, "{body}");
        }
    }
}
