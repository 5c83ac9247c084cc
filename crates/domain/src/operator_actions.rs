//! The bodies with which an operator acts. Each repeats in `confirm` what it is about, so that no stray click or script acts on
//! what nobody looked at.

use serde_json::{Map, Value};

use crate::violation::{MOST_VIOLATIONS, Violation};

/// Reads `{"confirm": id}`.
///
/// # Errors
///
/// Every violation found, with the JSON pointer of the field.
pub fn parse_confirmation(body: Value, id: &str) -> Result<(), Vec<Violation>> {
    confirmed(body, id, None).map(drop)
}

/// Reads `{"confirm": id, "topic": …}`; the topic is one of `topics`, if there is one.
///
/// # Errors
///
/// As [`parse_confirmation`].
pub fn parse_replay(
    body: Value,
    id: &str,
    topics: &[&str],
) -> Result<Option<String>, Vec<Violation>> {
    match confirmed(body, id, Some("topic"))? {
        None => Ok(None),
        Some(Value::String(topic)) if topics.contains(&topic.as_str()) => Ok(Some(topic)),
        Some(_) => Err(vec![Violation::field(
            "topic",
            format!("must be {}", topics.join(" or ")),
        )]),
    }
}

/// Reads `{"confirm": user, "sequence": number}`: which event is to be skipped.
///
/// # Errors
///
/// As [`parse_confirmation`].
pub fn parse_skip(body: Value, user: &str) -> Result<i64, Vec<Violation>> {
    let sequence = confirmed(body, user, Some("sequence"))?;
    let number = sequence.as_ref().and_then(Value::as_i64);
    number.filter(|number| *number >= 1).ok_or_else(|| {
        vec![Violation::field(
            "sequence",
            "must be the number of the lane's next event",
        )]
    })
}

/// The member `field` of a body that confirms `id`.
fn confirmed(body: Value, id: &str, field: Option<&str>) -> Result<Option<Value>, Vec<Violation>> {
    let Value::Object(mut members) = body else {
        return Err(vec![Violation::pointer("", "must be a JSON object")]);
    };
    let mut violations = Vec::new();
    if members.remove("confirm") != Some(Value::String(id.to_owned())) {
        violations.push(Violation::field(
            "confirm",
            "must repeat the id in the path",
        ));
    }
    let value = field.and_then(|field| members.remove(field));
    violations.extend(unknown(&members, field));
    if violations.is_empty() {
        Ok(value)
    } else {
        Err(violations)
    }
}

fn unknown(members: &Map<String, Value>, field: Option<&str>) -> Vec<Violation> {
    let known = match field {
        Some(field) => format!("confirm and {field}"),
        None => "confirm alone".to_owned(),
    };
    let unknown = members.keys().take(MOST_VIOLATIONS);
    unknown
        .map(|name| Violation::field(name, format!("is unknown; the fields are {known}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::violation::Location;

    fn places<T: std::fmt::Debug>(parsed: Result<T, Vec<Violation>>) -> Vec<String> {
        let place = |violation: Violation| match violation.location {
            Location::Pointer(pointer) => pointer,
            other => panic!("{other:?}"),
        };
        parsed.unwrap_err().into_iter().map(place).collect()
    }

    #[test]
    fn only_who_repeats_the_id_confirms() {
        assert_eq!(parse_confirmation(json!({"confirm": "a"}), "a"), Ok(()));
        for body in [
            json!({}),
            json!({"confirm": "b"}),
            json!({"confirm": true}),
            json!({"confirm": null}),
        ] {
            assert_eq!(
                places(parse_confirmation(body.clone(), "a")),
                ["/confirm"],
                "{body}"
            );
        }
        assert_eq!(places(parse_confirmation(json!("a"), "a")), [""]);
        let body = json!({"confirm": "a", "topic": "tasks"});
        assert_eq!(places(parse_confirmation(body, "a")), ["/topic"]);
    }

    #[test]
    fn a_topic_is_one_of_the_services() {
        let parse = |topic: Value| {
            parse_replay(
                json!({"confirm": "a", "topic": topic}),
                "a",
                &["tasks", "reminders"],
            )
        };
        assert_eq!(parse(json!("tasks")), Ok(Some("tasks".to_owned())));
        assert_eq!(
            parse_replay(json!({"confirm": "a"}), "a", &["tasks"]),
            Ok(None)
        );
        for topic in [json!("tasks-dlq"), json!(7), json!(null)] {
            assert_eq!(places(parse(topic.clone())), ["/topic"], "{topic}");
        }
    }

    #[test]
    fn a_number_is_one_that_an_event_can_have() {
        let parse =
            |sequence: Value| parse_skip(json!({"confirm": "a", "sequence": sequence}), "a");
        assert_eq!(parse(json!(7)), Ok(7));
        for sequence in [
            json!(0),
            json!(-1),
            json!(1.5),
            json!("7"),
            json!(null),
            json!(1e30),
        ] {
            assert_eq!(places(parse(sequence.clone())), ["/sequence"], "{sequence}");
        }
        assert_eq!(
            places(parse_skip(json!({"confirm": "a"}), "a")),
            ["/sequence"]
        );
    }
}
