//! Counts the tasks that each user completes.

use domain::event::{EventType, ReceivedEvent};
use domain::user_id::UserId;
use platform::call::Call;
use platform::delivery::EventStatus;
use platform::handler::{self, Context, FollowUp};
use serde::Deserialize;
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;
use uuid::Uuid;

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    handler::on_event("streak-handler", incoming, out, count).await;
}

#[derive(Deserialize)]
struct CompletedTask {
    task_id: Uuid,
    user_id: UserId,
}

/// Claims the event and counts the task in one statement.
fn count(event: &ReceivedEvent, context: &mut Context) -> Result<FollowUp, EventStatus> {
    if event.event_type != EventType::TaskCompleted.as_str() {
        return Ok(FollowUp::default());
    }
    let task: CompletedTask = event.data()?;
    let call = Call::of("count_completion")
        .uuid("event_id", event.id)
        .text("user_id", task.user_id.as_str())
        .uuid("task_id", task.task_id);
    context.change(call, Some(event.id))
}
