//! Deliveries of the dead-letter topic.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use uuid::Uuid;

use crate::answer::Answer;
use crate::test_user::TestUser;

/// Delivers a record that no handler could deal with, as the sidecar does: what it held, and where it stood.
pub fn given_up(todo: &TestUser, topic: &str, offset: i64, body: &[u8]) -> Answer {
    let wrapped = json!({
        "specversion": "1.0", "id": Uuid::now_v7(), "source": "todo-events", "type": "com.dapr.event.sent",
        "datacontenttype": "application/octet-stream", "data_base64": STANDARD.encode(body),
    });
    todo.call("POST", "/api/events/dead-letters")
        .authorization(None)
        .header("dapr-api-token", &todo.stack().secrets.app_token)
        .header("__topic", topic)
        .header("__partition", "0")
        .header("__offset", &offset.to_string())
        .json(&wrapped)
        .send()
}
