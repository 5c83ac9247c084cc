//! `GET /dapr/subscribe`: which topics the sidecar delivers to which routes.

use platform::configuration;
use platform::http::{Request, Response};
use platform::problem::Problem;
use serde_json::{Value, json};
use spin_sdk::http::Method;

use crate::Answer;

/// Where events go that a handler does not act on: a static response of the manifest, so that they start no instance.
const IGNORED: &str = "/api/events/ignored";

/// The programmatic subscriptions of Dapr (Dapr documentation, "Declarative, streaming, and programmatic subscription
/// types"). `deadLetterTopic` belongs at the top level; in `metadata` it would be ignored.
pub(crate) fn answer(request: &Request) -> Result<Answer, Problem> {
    if *request.method() != Method::Get {
        return Err(Problem::method_not_allowed("GET"));
    }
    let subscriptions = json!([subscription(
        "pubsub_name",
        "tasks_topic",
        &[r#"event.type == "task.completed""#],
        "/api/events/tasks"
    )?,]);
    Ok(Response::json(200, subscriptions.to_string()).into())
}

fn subscription(pubsub: &str, topic: &str, matches: &[&str], path: &str) -> Result<Value, Problem> {
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
