//! CloudEvents that arrive at a handler (CloudEvents 1.0, structured JSON).

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::timestamp::Timestamp;
use crate::user_id::UserId;

/// What happened, as named in the attribute `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// A task was created by a user or by recurrence.
    TaskCreated,
    /// A field of a task changed.
    TaskUpdated,
    /// A task went from pending to completed.
    TaskCompleted,
    /// An instance of a recurring task was skipped: ended without being completed.
    TaskSkipped,
    /// A task was deleted.
    TaskDeleted,
    /// A reminder was scheduled or moved.
    ReminderScheduled,
    /// A reminder was cancelled.
    ReminderCancelled,
    /// A reminder came due.
    ReminderTriggered,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::TaskCreated,
        Self::TaskUpdated,
        Self::TaskCompleted,
        Self::TaskSkipped,
        Self::TaskDeleted,
        Self::ReminderScheduled,
        Self::ReminderCancelled,
        Self::ReminderTriggered,
    ];

    /// The value of the attribute `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskCreated => "task.created",
            Self::TaskUpdated => "task.updated",
            Self::TaskCompleted => "task.completed",
            Self::TaskSkipped => "task.skipped",
            Self::TaskDeleted => "task.deleted",
            Self::ReminderScheduled => "reminder.scheduled",
            Self::ReminderCancelled => "reminder.cancelled",
            Self::ReminderTriggered => "reminder.triggered",
        }
    }

    /// The attribute `dataschema`: a name, not an address, because an event stays the same wherever it is published
    /// again. The database writes it (`cloud_event_text`).
    pub fn data_schema(self) -> String {
        format!("urn:todo-events:schema:{}:1", self.as_str())
    }
}

/// An event as received, its attributes checked, its data not yet read.
#[derive(Debug, Clone)]
pub struct ReceivedEvent {
    /// Identifies the event: a redelivery has the same id.
    pub id: Uuid,
    /// What happened. The type of another service's event is kept as it is.
    pub event_type: String,
    /// When.
    pub time: Timestamp,
    /// The event's number among its user's events.
    pub sequence: i64,
    data: Value,
}

/// Why some bytes are not an event of this service. A retry would not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedEvent(String);

impl fmt::Display for MalformedEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for MalformedEvent {}

impl MalformedEvent {
    /// With a reason that does not repeat the event's content.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

#[derive(Deserialize)]
struct Attributes {
    specversion: String,
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    time: String,
    sequence: String,
    data: Value,
}

impl ReceivedEvent {
    /// Parses the body that Dapr delivers.
    ///
    /// # Errors
    ///
    /// [`MalformedEvent`] when it is not JSON, an attribute is missing or has the wrong form, or `data` is no object.
    pub fn parse(body: &[u8]) -> Result<Self, MalformedEvent> {
        let attributes: Attributes = serde_json::from_slice(body).map_err(|error| {
            // Line and column, not serde's message: that could quote the event.
            MalformedEvent(format!(
                "not a CloudEvent of this service ({:?} error at line {}, column {})",
                error.classify(),
                error.line(),
                error.column()
            ))
        })?;
        if attributes.specversion != "1.0" {
            return Err(MalformedEvent::new("specversion is not 1.0"));
        }
        if !attributes.data.is_object() {
            return Err(MalformedEvent::new("data is not an object"));
        }
        let is_sequence = attributes.sequence.len() == 20
            && attributes.sequence.bytes().all(|b| b.is_ascii_digit());
        Ok(Self {
            id: Uuid::parse_str(&attributes.id)
                .map_err(|_| MalformedEvent::new("id is not a UUID"))?,
            event_type: attributes.event_type,
            time: Timestamp::parse(&attributes.time)
                .map_err(|_| MalformedEvent::new("time is not RFC 3339"))?,
            sequence: is_sequence
                .then(|| attributes.sequence.parse().ok())
                .flatten()
                .ok_or_else(|| MalformedEvent::new("sequence is not a number of 20 digits"))?,
            data: attributes.data,
        })
    }

    /// Reads the event's data as `T`; members that `T` does not know are ignored.
    ///
    /// # Errors
    ///
    /// [`MalformedEvent`] when a member is missing or breaks its rule.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, MalformedEvent> {
        T::deserialize(&self.data).map_err(|_| {
            MalformedEvent(format!("data does not fit {}", printable(&self.event_type)))
        })
    }

    /// Adds what identifies the event to a log line's fields: `event_id`, `event_type`, `user_id` and `task_id`; null
    /// for what is no id, so that arbitrary text does not reach a log.
    pub fn describe(&self, fields: &mut Value) {
        let text = |name: &str| self.data.get(name).and_then(Value::as_str);
        fields["event_id"] = json!(self.id);
        fields["event_type"] = json!(printable(&self.event_type));
        let user = text("user_id").and_then(|user| UserId::try_from(user.to_owned()).ok());
        fields["user_id"] = json!(user.as_ref().map(UserId::as_str));
        fields["task_id"] = json!(text("task_id").and_then(|task| Uuid::parse_str(task).ok()));
    }
}

/// The type if it looks like one, so that arbitrary text does not reach a log.
fn printable(event_type: &str) -> &str {
    let looks = |byte: u8| byte.is_ascii_lowercase() || byte == b'.';
    if event_type.len() <= 40 && event_type.bytes().all(looks) {
        event_type
    } else {
        "its type"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TASK: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

    fn event() -> Value {
        json!({
            "specversion": "1.0", "id": "01890a5d-ac96-774b-bcce-b302099a8057", "source": "/todo/task-api",
            "type": "task.completed", "time": "2026-01-31T08:00:00.000000Z", "sequence": "00000000000000000007",
            "data": {"task_id": TASK, "user_id": "alice"}, "topic": "tasks",
        })
    }

    fn parse(value: &Value) -> Result<ReceivedEvent, MalformedEvent> {
        ReceivedEvent::parse(value.to_string().as_bytes())
    }

    #[test]
    fn an_event_with_unknown_attributes_is_read() {
        let event = parse(&event()).unwrap();
        assert_eq!(
            (event.event_type.as_str(), event.sequence),
            ("task.completed", 7)
        );
        let mut fields = json!({});
        event.describe(&mut fields);
        assert_eq!(fields["task_id"], TASK);
        assert_eq!(fields["user_id"], "alice");
    }

    #[test]
    fn text_that_is_no_id_is_not_logged() {
        let mut private = event();
        private["data"] = json!({"task_id": "private words", "user_id": "private words"});
        private["type"] = json!("private words");
        let mut fields = json!({});
        parse(&private).unwrap().describe(&mut fields);
        assert!(!fields.to_string().contains("private"), "{fields}");
    }

    #[test]
    fn an_event_with_a_missing_or_wrong_attribute_is_malformed() {
        for attribute in ["specversion", "id", "type", "time", "sequence", "data"] {
            for value in [
                None,
                Some(json!(1)),
                Some(json!("")),
                Some(json!(null)),
                Some(json!([1])),
            ] {
                let mut event = event();
                let members = event.as_object_mut().unwrap();
                match value.clone() {
                    None => members.remove(attribute),
                    Some(value) => members.insert(attribute.to_owned(), value),
                };
                let type_is_free = attribute == "type" && value == Some(json!(""));
                assert_eq!(
                    parse(&event).is_err(),
                    !type_is_free,
                    "{attribute} {value:?}"
                );
            }
        }
        for sequence in [
            "7",
            "0000000000000000000x",
            "99999999999999999999",
            "+0000000000000000007",
        ] {
            let mut event = event();
            event["sequence"] = json!(sequence);
            assert!(parse(&event).is_err(), "{sequence}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_of_an_event_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ReceivedEvent::parse(&bytes);
        }
    }
}
