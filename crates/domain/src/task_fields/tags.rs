//! What a body says of a task's labels.

use serde_json::{Map, Value};

use super::Change;
use crate::task::{Tag, Tags};
use crate::violation::Violation;

/// Takes the member out of the body, with a pointer to the tag that is wrong.
pub(super) fn take_tags(
    members: &mut Map<String, Value>,
    violations: &mut Vec<Violation>,
) -> Change<Tags> {
    let items = match members.remove("tags") {
        None => return Change::Absent,
        Some(Value::Null) => return Change::Null,
        Some(Value::Array(items)) => items,
        Some(_) => {
            violations.push(Violation::field("tags", "must be a list of strings"));
            return Change::Absent;
        }
    };
    let mut tags = Vec::with_capacity(items.len());
    let before = violations.len();
    for (index, item) in items.into_iter().enumerate() {
        let tag = match item {
            Value::String(text) => Tag::try_from(text).map_err(|error| error.to_string()),
            _ => Err("must be a string".to_owned()),
        };
        match tag {
            Ok(tag) => tags.push(tag),
            Err(detail) => violations.push(Violation::pointer(format!("/tags/{index}"), detail)),
        }
        if violations.len() - before == 10 {
            break;
        }
    }
    if violations.len() > before {
        return Change::Absent;
    }
    match Tags::try_from(tags) {
        Ok(tags) => Change::Value(tags),
        Err(error) => {
            violations.push(Violation::field("tags", error.to_string()));
            Change::Absent
        }
    }
}
