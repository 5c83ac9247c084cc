//! `GET /dapr/subscribe`: which topics the sidecar delivers to which routes.

use domain::event::EventType;
use platform::configuration;
use platform::http::Response;
use platform::problem::Problem;
use serde_json::{Value, json};

use crate::Answer;

/// The route of events that a handler does not act on: a static response in the manifest, which starts no instance.
const IGNORED: &str = "/api/events/ignored";

/// What a consumer group gets from a topic.
pub(crate) struct Subscription {
    /// The variable that names the Dapr component, to which the consumer group belongs.
    pub(crate) pubsub: &'static str,
    /// The variable that names the topic.
    pub(crate) topic: &'static str,
    /// The handler's route.
    pub(crate) path: &'static str,
    /// The types that the handler acts on, each with a further condition in CEL, if there is one. `None`: the handler
    /// gets everything, also records that are no events.
    pub(crate) rules: Option<&'static [(EventType, Option<&'static str>)]>,
}

/// True for tasks that recur.
const RECURRING: Option<&str> = Some("event.data.is_recurring != false");

/// True for tasks with a due date.
const WITH_DUE_DATE: Option<&str> = Some("event.data.due_date != null");

/// Every subscription. `is_delivered` in the database must agree. If a field that a rule needs is missing, the sidecar
/// moves the event to the dead letters, as the handler would.
pub(crate) static SUBSCRIPTIONS: [Subscription; 4] = [
    Subscription {
        pubsub: "pubsub_name",
        topic: "tasks_topic",
        path: "/api/events/tasks",
        rules: Some(&[
            (EventType::TaskCompleted, RECURRING),
            (EventType::TaskSkipped, RECURRING),
        ]),
    },
    Subscription {
        pubsub: "pubsub_reminders_name",
        topic: "tasks_topic",
        path: "/api/events/reminders",
        rules: Some(&[
            (EventType::TaskCreated, WITH_DUE_DATE),
            (
                EventType::TaskUpdated,
                Some(
                    "('due_date' in event.data.changed_fields || 'completed' in event.data.changed_fields || \
                     'skipped_at' in event.data.changed_fields || 'reminders' in event.data.changed_fields)",
                ),
            ),
            (EventType::TaskCompleted, WITH_DUE_DATE),
            (EventType::TaskSkipped, WITH_DUE_DATE),
            (EventType::TaskDeleted, WITH_DUE_DATE),
        ]),
    },
    Subscription {
        pubsub: "pubsub_reminders_name",
        topic: "reminders_topic",
        path: "/api/events/reminders",
        rules: Some(&[(EventType::ReminderTriggered, None)]),
    },
    Subscription {
        pubsub: "pubsub_name",
        topic: "dead_letter_topic",
        path: "/api/events/dead-letters",
        rules: None,
    },
];

/// The programmatic subscriptions of Dapr (Dapr documentation, "Declarative, streaming, and programmatic subscription
/// types"). `deadLetterTopic` belongs at the top level; in `metadata` it would be ignored.
pub(crate) fn answer() -> Result<Answer, Problem> {
    let subscriptions: Vec<Value> = SUBSCRIPTIONS
        .iter()
        .map(describe)
        .collect::<Result<_, _>>()?;
    Ok(Response::json(200, json!(subscriptions).to_string()).into())
}

fn describe(subscription: &Subscription) -> Result<Value, Problem> {
    let pubsub = configuration::variable(subscription.pubsub)?;
    let topic = configuration::variable(subscription.topic)?;
    let Some(rules) = subscription.rules else {
        // Raw, because a record that is not JSON must be recorded too, and must not block the topic.
        return Ok(json!({
            "pubsubname": pubsub,
            "topic": topic,
            "metadata": {"rawPayload": "true"},
            "route": subscription.path,
        }));
    };
    let rules: Vec<Value> = rules
        .iter()
        .map(|(event_type, condition)| {
            json!({"match": matching(*event_type, *condition), "path": subscription.path})
        })
        .collect();
    Ok(json!({
        "pubsubname": pubsub,
        "topic": topic,
        "deadLetterTopic": configuration::variable("dead_letter_topic")?,
        "routes": {"rules": rules, "default": IGNORED},
    }))
}

/// The CEL expression that matches events of a type for which the condition is true.
pub(crate) fn matching(event_type: EventType, condition: Option<&str>) -> String {
    let is_of_type = format!("event.type == \"{}\"", event_type.as_str());
    match condition {
        Some(condition) => format!("{is_of_type} && {condition}"),
        None => is_of_type,
    }
}
