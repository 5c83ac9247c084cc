//! `POST /api/events/reminders`: task events schedule, move and cancel reminders; a triggered reminder becomes a
//! notification. `POST /job/reminder-{task_id}`: a reminder's alarm rings.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::event::{EventType, ReceivedEvent};
use domain::reminder::{WantedReminders, wanted_reminders};
use domain::timestamp::Timestamp;
use domain::user_id::UserId;
use platform::call::Call;
use platform::configuration;
use platform::database::Database;
use platform::delivery::EventStatus;
use platform::handler::{Accepted, Context, FollowUp};
use platform::http::Request;
use platform::problem::Problem;
use serde::Deserialize;
use serde_json::json;
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;
use uuid::Uuid;

/// What the sidecar delivers.
enum Route {
    Event,
    Job(Uuid),
}

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let Some(accepted) = Accepted::new("reminder-handler", incoming, out).await else {
        return;
    };
    match route(&accepted.request) {
        Ok(Route::Event) => accepted.event(handle_event).await,
        Ok(Route::Job(task)) => accepted.job(|context| fire(task, context)).await,
        Err(problem) => accepted.refuse(&problem).await,
    }
}

fn route(request: &Request) -> Result<Route, Problem> {
    let segments = request.path_segments()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["api", "events", "reminders"] => Ok(Route::Event),
        ["job", job] => {
            let task = job
                .strip_prefix("reminder-")
                .and_then(|task| Uuid::parse_str(task).ok());
            task.map(Route::Job)
                .ok_or_else(|| Problem::not_found("There is no such job."))
        }
        _ => Err(Problem::not_found("There is no such route.")),
    }
}

/// Acts on an alarm that rang, as the reminder's row decides.
fn fire(task: Uuid, context: &mut Context) -> Result<FollowUp, EventStatus> {
    context.fields["task_id"] = json!(task);
    context.change(Call::of("ring_reminder").uuid("task_id", task), None)
}

fn handle_event(event: &ReceivedEvent, context: &mut Context) -> Result<FollowUp, EventStatus> {
    if event.event_type == EventType::ReminderTriggered.as_str() {
        context.fields["notified"] = json!(notify(event.id, event.data()?)?);
        return Ok(FollowUp::default());
    }
    let lead = configuration::whole_number("reminder_lead_seconds")?;
    match wanted_reminders(event, now(), lead)? {
        Some(wanted) => apply(event, &wanted, context),
        None => Ok(FollowUp::default()),
    }
}

/// The moment of handling. If the clock shows a year that a timestamp cannot hold, this is the epoch, so that every
/// reminder is still scheduled.
fn now() -> Timestamp {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    let now = i64::try_from(micros)
        .ok()
        .and_then(|micros| Timestamp::from_unix_micros(micros).ok());
    now.unwrap_or_default()
}

/// Claims the event and updates the row of the task's reminders to what the event wants.
fn apply(
    event: &ReceivedEvent,
    wanted: &WantedReminders,
    context: &mut Context,
) -> Result<FollowUp, EventStatus> {
    let (moments, reason) = match &wanted.moments {
        Ok(moments) => (moments.as_slice(), None),
        Err(reason) => (&[][..], Some(reason.as_str())),
    };
    let call = Call::of("apply_reminders")
        .uuid("event_id", event.id)
        .bigint("sequence", event.sequence)
        .text("user_id", wanted.user_id.as_str())
        .uuid("task_id", wanted.task_id)
        .instants("moments", moments)
        .instant("happened_at", Some(event.time))
        .instant("due_date", wanted.due_date)
        .optional_text("reason", reason);
    context.change(call, Some(event.id))
}

/// The data of `reminder.triggered`.
#[derive(Deserialize)]
struct TriggeredReminder {
    task_id: Uuid,
    user_id: UserId,
    task_title: String,
    remind_at: Timestamp,
}

/// Claims the event and creates the notification, if the row of the reminder says the same.
fn notify(event: Uuid, reminder: TriggeredReminder) -> Result<bool, EventStatus> {
    let call = Call::of("notify_user")
        .uuid("event_id", event)
        .uuid("notification_id", Uuid::now_v7())
        .text("user_id", reminder.user_id.as_str())
        .uuid("task_id", reminder.task_id)
        .text("task_title", reminder.task_title)
        .instant("remind_at", Some(reminder.remind_at));
    Ok(Database::from_configuration()?.call_patiently(call)?)
}
