//! `GET /dapr/subscribe`: which topics the sidecar delivers to which routes.

use platform::configuration;
use platform::http::Response;
use platform::problem::Problem;
use serde_json::{Value, json};

use crate::Answer;

/// Where events go that a handler does not act on: a static response of the manifest, so that they start no instance.
const IGNORED: &str = "/api/events/ignored";

/// The programmatic subscriptions of Dapr (Dapr documentation, "Declarative, streaming, and programmatic subscription
/// types"). `deadLetterTopic` belongs at the top level; in `metadata` it would be ignored.
pub(crate) fn answer() -> Result<Answer, Problem> {
    // What the handlers act on: `is_delivered` in the database says the same. A field that is missing fails the rule, and
    // the sidecar moves the event to the dead letters, as the handler would.
    let ends = ["task.completed", "task.skipped"].map(|event_type| {
        format!(
            "{} && event.data.is_recurring != false",
            is_type(event_type)
        )
    });
    let with_due_date =
        |event_type| format!("{} && event.data.due_date != null", is_type(event_type));
    let task_events = [
        with_due_date("task.created"),
        format!(
            "{} && ('due_date' in event.data.changed_fields || 'completed' in event.data.changed_fields || \
             'skipped_at' in event.data.changed_fields)",
            is_type("task.updated")
        ),
        with_due_date("task.completed"),
        with_due_date("task.skipped"),
        with_due_date("task.deleted"),
    ];
    let subscriptions = json!([
        subscription("pubsub_name", "tasks_topic", &ends, "/api/events/tasks")?,
        subscription("pubsub_reminders_name", "tasks_topic", &task_events, "/api/events/reminders")?,
        subscription(
            "pubsub_reminders_name",
            "reminders_topic",
            &[is_type("reminder.triggered")],
            "/api/events/reminders",
        )?,
        // Raw: a record that is not even JSON must be recorded too, and must not block the topic.
        {
            "pubsubname": configuration::text("pubsub_name")?,
            "topic": configuration::text("dead_letter_topic")?,
            "metadata": {"rawPayload": "true"},
            "route": "/api/events/dead-letters",
        },
    ]);
    Ok(Response::json(200, subscriptions.to_string()).into())
}

/// The CEL expression that matches events of a type.
fn is_type(event_type: &str) -> String {
    format!("event.type == \"{event_type}\"")
}

fn subscription(
    pubsub: &str,
    topic: &str,
    matches: &[String],
    path: &str,
) -> Result<Value, Problem> {
    let rules: Vec<Value> = matches
        .iter()
        .map(|rule| json!({"match": rule, "path": path}))
        .collect();
    Ok(json!({
        "pubsubname": configuration::text(pubsub)?,
        "topic": configuration::text(topic)?,
        "deadLetterTopic": configuration::text("dead_letter_topic")?,
        "routes": {"rules": rules, "default": IGNORED},
    }))
}
