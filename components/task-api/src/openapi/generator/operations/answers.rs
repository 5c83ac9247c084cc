//! What the answers of operations hold.

use domain::{change_feed, notification_list, page};
use serde_json::{Value, json};

use super::super::operation_id;
use super::super::schemas::reference;
use crate::asyncapi::SCHEMA_CACHING;
use crate::calendar::CACHING;
use crate::route::UserOperation;

/// A calendar, or 304 without one.
pub(super) fn calendar_answer(meaning: &str, media_type: Option<&str>) -> Value {
    let header = |meaning: &str, schema: Value| json!({"description": meaning, "required": true, "schema": schema});
    let mut answer = json!({
        "description": meaning,
        "headers": {
            "ETag": header(
                "Another one whenever the calendar is.",
                json!({"type": "string", "pattern": "^\"[0-9]+-[0-9a-f]{64}\"$"}),
            ),
            "Cache-Control": header(
                "To be kept by the client alone, and asked for again.",
                json!({"type": "string", "const": CACHING}),
            ),
        },
    });
    if let Some(media_type) = media_type {
        answer["content"][media_type] = json!({"schema": {"type": "string"}});
    }
    answer
}

/// An answer with a JSON body and header fields.
pub(super) fn json_answer(meaning: &str, schema: &Value, headers: &[&str]) -> Value {
    let mut answer = json!({
        "description": meaning,
        "content": {"application/json": {"schema": schema}},
    });
    for name in headers {
        answer["headers"][*name] = header(name);
    }
    answer
}

fn header(name: &str) -> Value {
    let (meaning, is_always_there, schema) = match name {
        "ETag" => (
            "The task's version, for `If-Match`.",
            true,
            json!({"type": "string", "pattern": "^\"[1-9][0-9]*\"$"}),
        ),
        "Location" => (
            "The task's path.",
            true,
            json!({"type": "string", "format": "uri-reference", "pattern": "^/api/[^/]+/tasks/[^/]+$"}),
        ),
        "Link" => (
            "The next page, rel=\"next\" (RFC 8288), if there is one.",
            false,
            json!({"type": "string", "pattern": "^<[^<>]+>; rel=\"next\"$"}),
        ),
        "Unread-Count" => (
            "How many are unread, on this page or not; the maximum stands for so many or more.",
            true,
            json!({"type": "integer", "minimum": 0, "maximum": notification_list::MOST_UNREAD}),
        ),
        "Cache-Control" => (
            "Of a stream.",
            false,
            json!({"type": "string", "const": "no-store"}),
        ),
        "X-Accel-Buffering" => (
            "Of a stream: proxies pass on each event at once.",
            false,
            json!({"type": "string", "const": "no"}),
        ),
        name => panic!("the header {name} has no description"),
    };
    json!({"description": meaning, "required": is_always_there, "schema": schema})
}

/// A JSON Schema.
pub(super) fn schema() -> Value {
    json!({
        "description": "The schema, whose `$id` is the attribute.",
        "content": {"application/schema+json": {"schema": {"type": "object"}}},
        "headers": {"Cache-Control": {
            "description": "For how long the schema may be kept; then it may have further fields.",
            "required": true,
            "schema": {"type": "string", "const": SCHEMA_CACHING},
        }},
    })
}

pub(super) fn task(meaning: &str) -> Value {
    json_answer(meaning, &reference("Task"), &["ETag"])
}

pub(super) fn created() -> Value {
    let mut created = json_answer("The task.", &reference("Task"), &["ETag", "Location"]);
    for operation in [
        UserOperation::ReadTask,
        UserOperation::UpdateTask,
        UserOperation::CompleteTask,
        UserOperation::ReopenTask,
        UserOperation::SkipTask,
        UserOperation::DeleteTask,
    ] {
        link(&mut created, operation, "task_id", "$response.body#/id");
    }
    created
}

/// A page, or a stream.
pub(super) fn changes() -> Value {
    let mut changes = json_answer(
        "The changes.",
        &reference("Changes"),
        &["Link", "Cache-Control", "X-Accel-Buffering"],
    );
    changes["content"][change_feed::EVENT_STREAM] = json!({"schema": {"type": "string"}});
    changes
}

pub(super) fn notifications() -> Value {
    let mut page = page_of(
        "A page of notifications.",
        "Notification",
        &["Unread-Count"],
    );
    link(
        &mut page,
        UserOperation::ReadNotification,
        "id",
        "$response.body#/0/id",
    );
    link(
        &mut page,
        UserOperation::SnoozeNotification,
        "id",
        "$response.body#/0/id",
    );
    page
}

/// Links an answer to an operation whose path needs the id in it.
fn link(answer: &mut Value, operation: UserOperation, variable: &str, id: &str) {
    let name = operation_id(operation);
    answer["links"][&name] = json!({
        "operationId": name,
        "parameters": {"user_id": "$request.path.user_id", variable: id},
    });
}

pub(super) fn page_of(meaning: &str, row: &str, headers: &[&str]) -> Value {
    let rows = json!({"type": "array", "maxItems": page::LARGEST_LIMIT, "items": reference(row)});
    let headers = [&["Link"], headers].concat();
    json_answer(meaning, &rows, &headers)
}
