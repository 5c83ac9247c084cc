//! `POST /api/events/tasks`: the completion of a recurring task creates its next instance.

mod statement;

use std::time::Instant;

use domain::event::{EventType, MalformedEvent, ReceivedEvent};
use domain::recurrence::{CompletedTask, Next};
use platform::app_token;
use platform::calendar::Calendar;
use platform::configuration;
use platform::database::{Database, number, text};
use platform::delivery::{self, Delivery};
use platform::http::Request;
use platform::log::{self, Level};
use platform::outbox::{Emitted, Lease, Outbox};
use platform::publisher::publish_emitted;
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;
use uuid::Uuid;

/// The component's name in logs.
const COMPONENT: &str = "recurrence-handler";

/// The source of the events that this component emits.
const SOURCE: &str = "/todo/recurrence-handler";

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let _lines = log::collect();
    let start = Instant::now();
    let request = Request::new(incoming);
    if let Err(problem) = app_token::authorize(&request) {
        let fields =
            json!({"status": problem.status(), "outcome": "refused", "error": problem.cause()});
        problem.response().send(out).await;
        log::line(Level::Warn, COMPONENT, "request", fields);
        return;
    }
    let traceparent = request.traceparent();
    let mut fields = json!({"traceparent": traceparent});
    let handled = match delivery::body(request).await {
        Ok(body) => handle_event(&body, traceparent.as_deref(), &mut fields),
        Err(delivery) => Err(delivery),
    };
    let (delivery, emitted) = match handled {
        Ok(emitted) => (Delivery::Done, emitted),
        Err(delivery) => (delivery, None),
    };
    delivery.send(out, COMPONENT, fields, start).await;
    if let Some((emitted, lease)) = emitted {
        publish_emitted(COMPONENT, emitted, lease).await;
    }
}

/// Creates the successor that an event asks for; gives what that emitted.
fn handle_event(
    body: &[u8],
    traceparent: Option<&str>,
    fields: &mut Value,
) -> Result<Option<(Emitted, Lease)>, Delivery> {
    let event = ReceivedEvent::parse(body)?;
    event.describe(fields);
    if event.event_type != EventType::TaskCompleted.as_str() {
        return Ok(None);
    }
    create_successor(event.id, event.data()?, traceparent)
}

/// Claims the event and creates the successor in one statement, unless it exists, the event was handled before, the
/// completed task is gone, or the calendar ends.
fn create_successor(
    event: Uuid,
    completed: CompletedTask,
    traceparent: Option<&str>,
) -> Result<Option<(Emitted, Lease)>, Delivery> {
    #[derive(Deserialize)]
    struct Created {
        emitted: Option<Emitted>,
    }
    let (task, user, occurrence) = (
        completed.task_id,
        completed.user_id.clone(),
        completed.occurrence,
    );
    let successor = match completed.successor(&Calendar)? {
        Next::Successor(successor) => successor,
        Next::Nothing => return Ok(None),
        // Claimed all the same: the relay takes what is not claimed for not delivered.
        Next::EndOfTime => {
            let database = Database::from_configuration()?;
            let () = database.query_patiently(statement::CLAIM, &[text(event)])?;
            return Ok(None);
        }
    };
    let fields = serde_json::to_string(&successor)
        .map_err(|error| MalformedEvent::new(error.to_string()))?;
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
