//! `POST /api/events/tasks`: the end of a recurring task, completed or skipped, creates its next instance.

use std::time::Instant;

use domain::event::{EventType, MalformedEvent, ReceivedEvent};
use domain::recurrence::{EndedTask, Next};
use platform::app_token;
use platform::calendar::Calendar;
use platform::call::Call;
use platform::configuration;
use platform::database::Database;
use platform::delivery::{self, Delivery};
use platform::http::Request;
use platform::log::{self, Level};
use platform::outbox::{Emitted, Outbox, Publishing};
use platform::publisher::publish;
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;
use uuid::Uuid;

/// The component's name in logs.
const COMPONENT: &str = "recurrence-handler";

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
    let (delivery, publishing) = match handled {
        Ok(publishing) => (Delivery::Done, publishing),
        Err(delivery) => (delivery, None),
    };
    delivery.send(out, COMPONENT, fields, start).await;
    publish(COMPONENT, publishing).await;
}

/// Creates the successor that an event asks for; gives what is to be published, if this instance is to do that.
fn handle_event(
    body: &[u8],
    traceparent: Option<&str>,
    fields: &mut Value,
) -> Result<Option<Publishing>, Delivery> {
    let event = ReceivedEvent::parse(body)?;
    event.describe(fields);
    let ends = [EventType::TaskCompleted, EventType::TaskSkipped];
    if !ends.iter().any(|end| event.event_type == end.as_str()) {
        return Ok(None);
    }
    create_successor(event.id, event.data()?, traceparent)
}

/// Claims the event and creates the successor in one statement, unless it exists, the event was handled before, the task is
/// gone, or the series ends.
fn create_successor(
    event: Uuid,
    ended: EndedTask,
    traceparent: Option<&str>,
) -> Result<Option<Publishing>, Delivery> {
    #[derive(Deserialize)]
    struct Created {
        emitted: Option<Emitted>,
    }
    let (task, user, occurrence) = (ended.task_id, ended.user_id.clone(), ended.occurrence);
    let successor = match ended.successor(&Calendar)? {
        Next::Successor(successor) => successor,
        Next::Nothing => return Ok(None),
        // Claimed all the same: the relay takes what is not claimed for not delivered.
        Next::End => {
            let call = Call::of("claim_event")
                .text("handler", "recurrence")
                .uuid("event_id", event);
            let _first: bool = Database::from_configuration()?.call_patiently(call)?;
            return Ok(None);
        }
    };
    let fields = serde_json::to_string(&*successor)
        .map_err(|error| MalformedEvent::new(error.to_string()))?;
    let sidecar = configuration::text("sidecar_name")?;
    let outbox = Outbox::new(&sidecar).traced(traceparent).caused_by(event);
    let call = Call::of("create_successor")
        .uuid("event_id", event)
        .text("user_id", user.as_str())
        .uuid("task_id", task)
        .integer("occurrence", occurrence)
        .uuid("successor_id", Uuid::now_v7())
        .json("fields", fields)
        .json("outbox", outbox.json());
    let created: Created = Database::from_configuration()?.call_patiently(call)?;
    Ok(created
        .emitted
        .and_then(|emitted| outbox.publishing(emitted)))
}
