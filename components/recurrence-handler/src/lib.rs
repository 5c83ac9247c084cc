//! `POST /api/events/tasks`: the end of a recurring task, completed or skipped, creates its next instance.

use domain::event::{EventType, MalformedEvent, ReceivedEvent};
use domain::recurrence::{EndedTask, Next};
use platform::calendar::Calendar;
use platform::call::Call;
use platform::database::Database;
use platform::delivery::EventStatus;
use platform::handler::{self, Context, FollowUp};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;
use uuid::Uuid;

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    handler::on_event("recurrence-handler", incoming, out, create_successor).await;
}

/// Claims the event and creates the successor, in one statement. Creates nothing if the successor exists, the event was
/// handled before, the task is gone or the series ends.
fn create_successor(event: &ReceivedEvent, context: &mut Context) -> Result<FollowUp, EventStatus> {
    let ends = [EventType::TaskCompleted, EventType::TaskSkipped];
    if !ends.iter().any(|end| event.event_type == end.as_str()) {
        return Ok(FollowUp::default());
    }
    let ended: EndedTask = event.data()?;
    let (task, user, occurrence) = (ended.task_id, ended.user_id.clone(), ended.occurrence);
    let successor = match ended.successor(&Calendar)? {
        Next::Successor(successor) => successor,
        Next::Nothing => return Ok(FollowUp::default()),
        // Claims the event anyway: the relay would take an unclaimed event for an undelivered one.
        Next::End => {
            let call = Call::of("claim_event")
                .text("handler", "recurrence")
                .uuid("event_id", event.id);
            let _first: bool = Database::from_configuration()?.call_patiently(call)?;
            return Ok(FollowUp::default());
        }
    };
    let fields = serde_json::to_string(&*successor)
        .map_err(|error| MalformedEvent::new(error.to_string()))?;
    let call = Call::of("create_successor")
        .uuid("event_id", event.id)
        .text("user_id", user.as_str())
        .uuid("task_id", task)
        .integer("occurrence", occurrence)
        .uuid("successor_id", Uuid::now_v7())
        .json("fields", fields);
    context.change(call, Some(event.id))
}
