//! What happens on a clock, and what is left when all else failed.
//!
//! `POST /internal/relay`, which the sidecar's cron binding calls in every replica: publishes what is still
//! unpublished, sweeps reminders, watches deliveries, expires old rows. A run ends within 4 s; runs that overlap do no harm.
//!
//! `POST /api/events/dead-letters`: records what no handler could deal with, and alerts.

mod dead_letters;
mod delivery_watch;
mod publishing;
mod reminder_sweep;
mod retention;

use std::time::{Duration, Instant};

use platform::app_token;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::log::{self, Level};
use platform::problem::Problem;
use platform::sidecar::Sidecar;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

/// The component's name in logs.
const COMPONENT: &str = "event-relay";

/// The source of the events that this component emits.
const SOURCE: &str = "/todo/event-relay";

/// When a run begins no further call or statement. With [`ANSWER_TIME`] it ends within 4 s.
const WORKING_TIME: Duration = Duration::from_millis(1500);

/// How long a run waits for the sidecar's answer to a call.
const ANSWER_TIME: Duration = Duration::from_millis(1500);

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let _lines = log::collect();
    let start = Instant::now();
    let request = Request::new(incoming);
    if let Err(problem) = app_token::authorize(&request) {
        refuse(&problem, out).await;
        return;
    }
    match request.path() {
        "/api/events/dead-letters" => dead_letters::record(request, out, start).await,
        "/internal/relay" => match relay(start).await {
            Ok(done) => {
                Response::new(200).send(out).await;
                if let Some(mut fields) = done {
                    fields["outcome"] = json!("done");
                    fields["duration_ms"] = json!(start.elapsed().as_millis() as u64);
                    log::line(Level::Info, COMPONENT, "relay", fields);
                }
            }
            Err(problem) => refuse(&problem, out).await,
        },
        _ => refuse(&Problem::not_found("There is no such route."), out).await,
    }
}

async fn refuse(problem: &Problem, out: ResponseOutparam) {
    let fields =
        json!({"status": problem.status(), "outcome": "refused", "error": problem.cause()});
    problem.response().send(out).await;
    log::line(Level::Warn, COMPONENT, "request", fields);
}

/// One run; tells what it did, if it did anything.
async fn relay(start: Instant) -> Result<Option<Value>, Problem> {
    let database = Database::from_configuration()?;
    let sidecar = Sidecar::from_configuration()?.with_first_byte_timeout(ANSWER_TIME);
    let until = start + WORKING_TIME;
    let lanes = publishing::publish_rest(&database, &sidecar, until).await?;
    let reminders = reminder_sweep::sweep(&database, &sidecar, until).await?;
    if Instant::now() < until {
        delivery_watch::watch(&database)?;
    }
    let expired = if Instant::now() < until {
        retention::expire(&database)?
    } else {
        0
    };
    let done = json!({"lanes": lanes, "reminders": reminders, "expired": expired});
    Ok((lanes + reminders > 0 || expired > 0).then_some(done))
}
