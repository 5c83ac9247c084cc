//! Records that no handler could deal with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::user_id::UserId;
use percent_encoding::percent_decode_str;
use platform::call::Call;
use platform::database::Database;
use platform::delivery::EventStatus;
use platform::http::Request;
use platform::log::{self, Level};
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::ResponseOutparam;
use uuid::Uuid;

use crate::COMPONENT;

/// The largest delivery that is read, in bytes: a record of Kafka's default maximum, in base64, fits well.
const LIMIT: usize = 4 * 1024 * 1024;

#[derive(Deserialize)]
struct Recorded {
    id: Uuid,
    deliveries: i64,
    /// Whether it is new, or came again after it was resolved.
    alert: bool,
}

/// Where a record was in the topic that it came from; Dapr keeps it in these headers.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    topic: String,
    partition: i64,
    offset: i64,
}

impl Origin {
    fn of(request: &Request) -> Option<Self> {
        let topic = request.header("__topic")?;
        // Whether Kafka allows this name.
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        Some(Self {
            topic: Some(topic).filter(|topic| topic.bytes().all(is_legal))?,
            partition: i64::from(request.header("__partition")?.parse::<i32>().ok()?),
            offset: request.header("__offset")?.parse().ok()?,
        })
    }

    /// A synthetic position for a record whose position headers are forged. It must be stored too, once: otherwise it
    /// would be delivered again and again and hold up all others.
    fn unknown(payload: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        payload.hash(&mut hasher);
        Self {
            topic: "unknown".to_owned(),
            partition: -1,
            offset: i64::from_ne_bytes(hasher.finish().to_ne_bytes()),
        }
    }
}

/// Records a dead letter and logs it at `error`, which alerts: once when it is new, and again if it comes back after it
/// was resolved.
pub(crate) async fn record(request: Request, out: ResponseOutparam, start: Instant) {
    let origin = Origin::of(&request);
    let key = request.header("__key").map(|key| unescaped(&key));
    let mut fields = json!({});
    let delivery = match request.body(LIMIT).await {
        Ok(body) => store(origin, key, &body, &mut fields).unwrap_or_else(|delivery| delivery),
        Err(problem) => EventStatus::Retry(format!(
            "the delivery was not read: HTTP {}",
            problem.status()
        )),
    };
    delivery.send(out, COMPONENT, fields, start).await;
}

fn store(
    origin: Option<Origin>,
    key: Option<String>,
    body: &[u8],
    fields: &mut Value,
) -> Result<EventStatus, EventStatus> {
    let payload = payload(body);
    let origin = origin.unwrap_or_else(|| Origin::unknown(&payload));
    let event: Value = serde_json::from_slice(&payload).unwrap_or_default();
    let attribute = |name: &str| {
        event[name]
            .as_str()
            .filter(|text| !text.contains('\0'))
            .map(str::to_owned)
    };
    let user = event["data"]["user_id"].as_str().map(str::to_owned).or(key);
    let user = user.filter(|user| !user.contains('\0'));
    let call = Call::of("record_dead_letter")
        .uuid("letter_id", Uuid::now_v7())
        .text("topic", origin.topic.as_str())
        .integer("kafka_partition", origin.partition)
        .bigint("kafka_offset", origin.offset)
        .bytes("payload", Some(payload))
        .optional_text("event_id", attribute("id"))
        .optional_text("event_type", attribute("type"))
        .optional_text("user_id", user.clone());
    let recorded: Recorded = Database::from_configuration()?.call_patiently(call)?;
    let task = event["data"]["task_id"].as_str();
    // Arbitrary text must not reach a log.
    let id = |text: Option<&str>| text.and_then(|text| Uuid::parse_str(text).ok());
    let user = user.and_then(|user| UserId::try_from(user).ok());
    *fields = json!({
        "dead_letter_id": recorded.id,
        "event_id": id(attribute("id").as_deref()),
        "event_type": attribute("type").filter(|name| is_type(name)),
        "user_id": user.as_ref().map(UserId::as_str),
        "task_id": id(task),
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "deliveries": recorded.deliveries,
    });
    if recorded.alert {
        log::line(Level::Error, COMPONENT, "dead letter", fields.clone());
    }
    Ok(EventStatus::Success)
}

/// Whether text looks like an event's type.
fn is_type(text: &str) -> bool {
    text.len() <= 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'.')
}

/// The key of a record: Dapr escapes it once when it moves the record to the dead letters and once when it delivers it.
fn unescaped(key: &str) -> String {
    let decode = |key: &str| {
        percent_decode_str(&key.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    decode(&decode(key))
}

/// The record as it was: Dapr wraps a raw record in a CloudEvent of its own, in base64.
fn payload(body: &[u8]) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Wrapped {
        data_base64: String,
    }
    let wrapped: Option<Wrapped> = serde_json::from_slice(body).ok();
    wrapped
        .and_then(|wrapped| STANDARD.decode(wrapped.data_base64).ok())
        .unwrap_or_else(|| body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::{payload, unescaped};

    #[test]
    fn a_key_is_unescaped() {
        for (escaped, key) in [
            ("alice", "alice"),
            ("a%2540b%257Cc", "a@b|c"),
            ("a%40b", "a@b"),
            ("%25FF", "\u{fffd}"),
            ("%", "%"),
        ] {
            assert_eq!(unescaped(escaped), key);
        }
    }

    #[test]
    fn a_record_is_unwrapped_whatever_it_holds() {
        assert_eq!(
            payload(br#"{"specversion":"1.0","data_base64":"AP+A"}"#),
            [0, 0xff, 0x80]
        );
        for body in ["", "no json", r#"{"data":{}}"#, r#"{"data_base64":"!"}"#] {
            assert_eq!(payload(body.as_bytes()), body.as_bytes());
        }
    }
}
