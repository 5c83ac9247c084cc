//! `POST /api/events/reminders`: task events schedule, move and cancel reminders; a triggered reminder becomes a
//! notification. `POST /job/reminder-{task_id}`: a reminder's alarm rings.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use domain::event::{EventType, ReceivedEvent};
use domain::reminder::{WantedReminders, wanted_reminders};
use domain::timestamp::Timestamp;
use domain::user_id::UserId;
use platform::app_token;
use platform::call::Call;
use platform::configuration;
use platform::database::Database;
use platform::delivery::{self, Delivery};
use platform::http::Request;
use platform::log::{self, Level};
use platform::outbox::{Emitted, Outbox, Publishing};
use platform::problem::Problem;
use platform::publisher::publish;
use platform::reminders::{Alarm, Reminders};
use platform::sidecar::Sidecar;
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;
use uuid::Uuid;

/// The component's name in logs.
const COMPONENT: &str = "reminder-handler";

/// What is to be done after the sidecar has its answer.
#[derive(Default)]
struct Rest {
    publishing: Option<Publishing>,
    alarm: Option<Alarm>,
}

/// What the sidecar delivers.
enum Route {
    Event,
    Job(Uuid),
}

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let _lines = log::collect();
    let start = Instant::now();
    let request = Request::new(incoming);
    let route = match app_token::authorize(&request).and_then(|()| route(&request)) {
        Ok(route) => route,
        Err(problem) => {
            let fields =
                json!({"status": problem.status(), "outcome": "refused", "error": problem.cause()});
            problem.response().send(out).await;
            log::line(Level::Warn, COMPONENT, "request", fields);
            return;
        }
    };
    let traceparent = request.traceparent();
    let mut fields = json!({"traceparent": traceparent});
    let handled = match route {
        Route::Job(task) => ring(task, traceparent.as_deref(), &mut fields),
        Route::Event => match delivery::body(request).await {
            Ok(body) => handle_event(&body, traceparent.as_deref(), &mut fields),
            Err(delivery) => Err(delivery),
        },
    };
    let (delivery, rest) = match handled {
        Ok(rest) => (Delivery::Done, rest),
        Err(delivery) => (delivery, Rest::default()),
    };
    delivery.send(out, COMPONENT, fields, start).await;
    // At the same time: neither may wait for a scheduler or a broker that hangs.
    let alarm = async {
        if let Some(alarm) = rest.alarm {
            set(&alarm).await;
        }
    };
    futures::future::join(alarm, publish(COMPONENT, rest.publishing)).await;
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

/// Sets an alarm clock. The row tells the sweep what is still to be set, so failures are left to it.
async fn set(alarm: &Alarm) {
    if alarm.wanted == alarm.set || !alarm.may_call {
        return;
    }
    if let (Ok(database), Ok(sidecar)) = (
        Database::from_configuration(),
        Sidecar::from_configuration(),
    ) {
        Reminders {
            database: &database,
            sidecar: &sidecar,
            component: COMPONENT,
        }
        .set(alarm)
        .await;
    }
}

fn ring(task: Uuid, traceparent: Option<&str>, fields: &mut Value) -> Result<Rest, Delivery> {
    fields["task_id"] = json!(task);
    let (database, sidecar) = (
        Database::from_configuration()?,
        Sidecar::from_configuration()?,
    );
    let reminders = Reminders {
        database: &database,
        sidecar: &sidecar,
        component: COMPONENT,
    };
    let outbox = Outbox::new(sidecar.name()).traced(traceparent);
    let rung = reminders.ring(task, &outbox)?;
    fields["triggered"] = json!(rung.emitted.is_some());
    Ok(Rest {
        publishing: rung.emitted.and_then(|emitted| outbox.publishing(emitted)),
        alarm: rung.alarm,
    })
}

fn handle_event(
    body: &[u8],
    traceparent: Option<&str>,
    fields: &mut Value,
) -> Result<Rest, Delivery> {
    let event = ReceivedEvent::parse(body)?;
    event.describe(fields);
    if event.event_type == EventType::ReminderTriggered.as_str() {
        fields["notified"] = json!(notify(event.id, event.data()?)?);
        return Ok(Rest::default());
    }
    match wanted_reminders(
        &event,
        now(),
        configuration::number("reminder_lead_seconds")?,
    )? {
        Some(wanted) => apply(&event, &wanted, traceparent),
        None => Ok(Rest::default()),
    }
}

/// The moment of handling. A clock outside the years of a timestamp counts as the epoch, which lets every reminder
/// still be scheduled.
fn now() -> Timestamp {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    let now = i64::try_from(micros)
        .ok()
        .and_then(|micros| Timestamp::from_unix_micros(micros).ok());
    now.unwrap_or_default()
}

/// Claims the event and brings the row of the task's reminders to what it wants.
fn apply(
    event: &ReceivedEvent,
    wanted: &WantedReminders,
    traceparent: Option<&str>,
) -> Result<Rest, Delivery> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Applied {
        emitted: Option<Emitted>,
        alarm: Option<Alarm>,
    }
    let sidecar = configuration::text("sidecar_name")?;
    let outbox = Outbox::new(&sidecar)
        .traced(traceparent)
        .caused_by(event.id);
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
        .optional_text("reason", reason)
        .json("outbox", outbox.json());
    let applied: Applied = Database::from_configuration()?.call_patiently(call)?;
    Ok(Rest {
        publishing: applied
            .emitted
            .and_then(|emitted| outbox.publishing(emitted)),
        alarm: applied.alarm,
    })
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
fn notify(event: Uuid, reminder: TriggeredReminder) -> Result<bool, Delivery> {
    let call = Call::of("notify_user")
        .uuid("event_id", event)
        .uuid("notification_id", Uuid::now_v7())
        .text("user_id", reminder.user_id.as_str())
        .uuid("task_id", reminder.task_id)
        .text("task_title", reminder.task_title)
        .instant("remind_at", Some(reminder.remind_at));
    Ok(Database::from_configuration()?.call_patiently(call)?)
}
