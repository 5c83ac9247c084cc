//! `POST /api/events/tasks`: the completion of a recurring task creates its next instance.

mod statement;

use std::time::Instant;

use domain::event::{EventType, ReceivedEvent};
use domain::recurrence::CompletedTask;
use platform::app_token;
use platform::calendar::Calendar;
use platform::configuration::{self, ConfigurationError};
use platform::database::{Database, DatabaseError, number, text};
use platform::delivery::Delivery;
use platform::http::Request;
use platform::log::{self, Level};
use platform::outbox::{Emitted, Lease, Outbox};
use platform::problem::Problem;
use platform::publisher::Publisher;
use platform::sidecar::Sidecar;
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, Method, ResponseOutparam};
use spin_sdk::http_component;
use uuid::Uuid;

/// The component's name in logs.
const COMPONENT: &str = "recurrence-handler";

/// The source of the events that this component emits.
const SOURCE: &str = "/todo/recurrence-handler";

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let start = Instant::now();
    let request = Request::new(incoming);
    if let Err(problem) = authorize(&request) {
        let fields =
            json!({"status": problem.status(), "outcome": "refused", "error": problem.cause()});
        problem.response().send(out).await;
        log::line(Level::Warn, COMPONENT, "request", fields);
        return;
    }
    let traceparent = request.traceparent();
    let mut fields = json!({"traceparent": traceparent});
    let (delivery, emitted) = match request.body().await {
        Ok(body) => deliver(&body, traceparent.as_deref(), &mut fields),
        Err(problem) if problem.status() == 413 => {
            (Delivery::Drop("the event is too large".to_owned()), None)
        }
        Err(_) => (Delivery::Retry("the event ended early".to_owned()), None),
    };
    delivery.response().send(out).await;

    let level = if delivery == Delivery::Done {
        Level::Info
    } else {
        Level::Warn
    };
    fields["outcome"] = json!(delivery.outcome());
    fields["error"] = json!(delivery.reason());
    fields["duration_ms"] = json!(start.elapsed().as_millis() as u64);
    log::line(level, COMPONENT, "event handled", fields);

    if let Some((emitted, lease)) = emitted {
        publish(emitted, lease).await;
    }
}

fn authorize(request: &Request) -> Result<(), Problem> {
    let token = configuration::text("app_api_token")?;
    if !app_token::is_valid(request.header(app_token::HEADER).as_deref(), &token) {
        return Err(Problem::not_the_sidecar());
    }
    match request.method() {
        Method::Post => Ok(()),
        _ => Err(Problem::method_not_allowed("POST")),
    }
}

/// Publishes what a delivery emitted. The sidecar has its answer: what fails here is left to the relay.
async fn publish(emitted: Emitted, lease: Lease) {
    let (Ok(database), Ok(sidecar)) = (
        Database::from_configuration(),
        Sidecar::from_configuration(),
    ) else {
        return;
    };
    let publisher = Publisher {
        database: &database,
        sidecar: &sidecar,
        component: COMPONENT,
    };
    publisher.publish_emitted(emitted, lease).await;
}

/// Handles an event; also gives what it emitted.
fn deliver(
    body: &[u8],
    traceparent: Option<&str>,
    fields: &mut Value,
) -> (Delivery, Option<(Emitted, Lease)>) {
    let event = match ReceivedEvent::parse(body) {
        Ok(event) => event,
        Err(error) => return (Delivery::Drop(error.to_string()), None),
    };
    fields["event_id"] = json!(event.id);
    fields["event_type"] = json!(event.event_type);
    fields["user_id"] = json!(event.data_text("user_id"));
    fields["task_id"] = json!(event.data_text("task_id"));
    if event.event_type != EventType::TaskCompleted.as_str() {
        return (Delivery::Done, None);
    }
    let completed: CompletedTask = match event.data() {
        Ok(completed) => completed,
        Err(error) => return (Delivery::Drop(error.to_string()), None),
    };
    match create_successor(event.id, completed, traceparent) {
        Ok(emitted) => (Delivery::Done, emitted),
        Err(Failure::Malformed(reason)) => (Delivery::Drop(reason), None),
        Err(Failure::Transient(reason)) => (Delivery::Retry(reason), None),
    }
}

enum Failure {
    Malformed(String),
    Transient(String),
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<ConfigurationError> for Failure {
    fn from(error: ConfigurationError) -> Self {
        Self::Transient(error.to_string())
    }
}

/// Claims the event and creates the successor in one statement, unless it exists, the event was handled before, or the
/// completed task is gone.
fn create_successor(
    event: Uuid,
    completed: CompletedTask,
    traceparent: Option<&str>,
) -> Result<Option<(Emitted, Lease)>, Failure> {
    #[derive(Deserialize)]
    struct Created {
        emitted: Option<Emitted>,
    }
    let (task, user, occurrence) = (
        completed.task_id,
        completed.user_id.clone(),
        completed.occurrence,
    );
    let successor = completed
        .successor(&Calendar)
        .map_err(|error| Failure::Malformed(error.to_string()))?;
    let Some(successor) = successor else {
        return Ok(None);
    };
    let fields =
        serde_json::to_string(&successor).map_err(|error| Failure::Malformed(error.to_string()))?;
    let outbox = Outbox::new(SOURCE, traceparent);
    let parameters = outbox.parameters(
        &configuration::text("sidecar_name")?,
        [
            text(user.as_str()),
            text(task),
            text(event),
            text(Uuid::now_v7()),
            number(i64::from(occurrence)),
            text(fields),
        ],
    );
    let created: Created = Database::from_configuration()?
        .query_patiently(&statement::create_successor(), &parameters)?;
    Ok(created.emitted.map(|emitted| (emitted, outbox.lease())))
}
