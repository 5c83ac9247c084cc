//! `POST /api/events/reminders`: task events schedule, move and cancel reminders; a triggered reminder becomes a
//! notification. `POST /job/reminder-{task_id}`: a reminder's alarm rings.

mod statements;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use domain::event::{EventType, ReceivedEvent};
use domain::reminder::{WantedReminder, wanted_reminder};
use domain::timestamp::Timestamp;
use domain::user_id::UserId;
use platform::app_token;
use platform::configuration;
use platform::database::{Database, number, optional_text, text};
use platform::delivery::{self, Delivery};
use platform::http::Request;
use platform::log::{self, Level};
use platform::outbox::{Emitted, Lease, Outbox};
use platform::problem::Problem;
use platform::publisher::publish_emitted;
use platform::reminders::{Alarm, Reminders};
use platform::sidecar::Sidecar;
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;
use uuid::Uuid;

/// The component's name in logs.
const COMPONENT: &str = "reminder-handler";

/// The source of the events that this component emits.
const SOURCE: &str = "/todo/reminder-handler";

/// What is to be done after the sidecar has its answer.
#[derive(Default)]
struct Rest {
    emitted: Option<(Emitted, Lease)>,
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
    if let Some((emitted, lease)) = rest.emitted {
        publish_emitted(COMPONENT, emitted, lease).await;
    }
    if let Some(alarm) = rest.alarm {
        set(&alarm).await;
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

/// Sets an alarm clock. The row tells the sweep what is still to be set, so failures are left to it.
async fn set(alarm: &Alarm) {
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
    let outbox = Outbox::new(SOURCE, traceparent);
    let rung = reminders.ring(task, &outbox)?;
    fields["triggered"] = json!(rung.emitted.is_some());
    Ok(Rest {
        emitted: rung.emitted.map(|emitted| (emitted, outbox.lease())),
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
        notify(event.id, event.data()?)?;
        return Ok(Rest::default());
    }
    match wanted_reminder(
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

/// Claims the event and brings the reminder's row to what it wants, in one statement.
fn apply(
    event: &ReceivedEvent,
    wanted: &WantedReminder,
    traceparent: Option<&str>,
) -> Result<Rest, Delivery> {
    #[derive(Deserialize)]
    struct Applied {
        emitted: Option<Emitted>,
        alarm: Option<Alarm>,
    }
    let outbox = Outbox::new(SOURCE, traceparent);
    let parameters = outbox.parameters(
        &configuration::text("sidecar_name")?,
        [
            text(wanted.user_id.as_str()),
            text(wanted.task_id),
            text(event.id),
            number(event.sequence),
            optional_text(wanted.moment.ok().map(|moment| moment.to_string())),
            optional_text(wanted.due_date.map(|due_date| due_date.to_string())),
            optional_text(wanted.moment.err().map(|reason| reason.as_str())),
        ],
    );
    let applied: Applied =
        Database::from_configuration()?.query_patiently(&statements::apply(), &parameters)?;
    Ok(Rest {
        emitted: applied.emitted.map(|emitted| (emitted, outbox.lease())),
        alarm: applied.alarm,
    })
}

/// The data of `reminder.triggered`.
#[derive(Deserialize)]
struct TriggeredReminder {
    task_id: Uuid,
    user_id: UserId,
    task_title: String,
    due_date: Option<Timestamp>,
    remind_at: Timestamp,
}

/// Claims the event and creates the notification, in one statement.
fn notify(event: Uuid, reminder: TriggeredReminder) -> Result<(), Delivery> {
    let parameters = [
        text(event),
        text(Uuid::now_v7()),
        text(reminder.user_id.as_str()),
        text(reminder.task_id),
        text(reminder.task_title),
        text(reminder.remind_at.to_string()),
        optional_text(reminder.due_date.map(|due_date| due_date.to_string())),
    ];
    Ok(Database::from_configuration()?.query_patiently(statements::NOTIFY, &parameters)?)
}
