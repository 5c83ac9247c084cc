//! Work on a clock: what others left undone, and what has expired.
//!
//! `POST /internal/relay`, which the sidecar's cron binding calls in every replica: answers at once, then sweeps
//! reminders, sets alarms, deletes what has expired, and publishes what is still unpublished, in turns, while there is
//! work, for 4.5 s at most. Each duty has its share of a turn, so none starves another, and a failure of one does not
//! end the others. Overlapping runs and replicas share the work.
//!
//! `POST /api/events/dead-letters`: records the events that no handler could deal with, and alerts.

mod dead_letters;
mod delivery_watch;
mod publishing;
mod reminder_sweep;
mod retention;

use std::fmt::Display;
use std::time::{Duration, Instant};

use platform::configuration::ConfigurationError;
use platform::database::Database;
use platform::handler::Accepted;
use platform::http::Response;
use platform::log::{self, Level};
use platform::problem::Problem;
use platform::reminders::Reminders;
use platform::sidecar::Sidecar;
use serde_json::{Value, json};
use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

/// The component's name in logs.
const COMPONENT: &str = "event-relay";

/// How long a run goes on to begin statements and calls.
const WORKING_TIME: Duration = Duration::from_millis(4500);

/// The shares of a turn.
const TRIGGERING: Duration = Duration::from_millis(400);
const ALARMS: Duration = Duration::from_millis(300);
const RETENTION: Duration = Duration::from_millis(300);
const PUBLISHING: Duration = Duration::from_millis(1000);

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let Some(accepted) = Accepted::new(COMPONENT, incoming, out).await else {
        return;
    };
    let start = accepted.start;
    match accepted.request.path() {
        "/api/events/dead-letters" => {
            dead_letters::record(accepted.request, accepted.out, start).await;
        }
        "/internal/relay" => {
            Response::new(200).send(accepted.out).await;
            let done = match relay(start).await {
                Ok(done) => done,
                Err(error) => {
                    let fields = json!({"outcome": "failed", "error": error.to_string()});
                    log::line(Level::Error, COMPONENT, "relay", fields);
                    return;
                }
            };
            if let Some(mut fields) = done {
                fields["outcome"] = json!("done");
                fields["duration_ms"] = json!(start.elapsed().as_millis() as u64);
                log::line(Level::Info, COMPONENT, "relay", fields);
            }
        }
        _ => {
            let problem = Problem::not_found("There is no such route.");
            accepted.refuse(&problem).await;
        }
    }
}

/// One run. Returns what it did, if it did anything.
async fn relay(start: Instant) -> Result<Option<Value>, ConfigurationError> {
    let database = Database::from_configuration()?;
    let sidecar = Sidecar::from_configuration()?;
    let reminders = Reminders {
        database: &database,
        sidecar: &sidecar,
        component: COMPONENT,
    };
    let end = start + WORKING_TIME;
    let share = |time: Duration| end.min(Instant::now() + time);
    if done("tending", publishing::tend(&database, &sidecar)) {
        done("partitions", retention::prepare(&database));
    }
    done("watch", delivery_watch::watch(&database));
    let (mut triggered, mut alarms, mut expired, mut published) = (0, 0, 0, 0);
    loop {
        let rung = reminder_sweep::trigger_overdue(&reminders, share(TRIGGERING));
        let rung = done("reminders", rung);
        let set = reminder_sweep::set_alarms(&reminders, share(ALARMS)).await;
        let set = done("alarms", set);
        let gone = done("retention", retention::expire(&database, share(RETENTION)));
        let sent = publishing::publish_rest(&database, &sidecar, share(PUBLISHING)).await;
        let sent = done("publishing", sent);
        triggered += rung;
        alarms += set;
        expired += gone;
        published += sent;
        let is_idle = rung == 0 && set == 0 && gone == 0 && sent == 0;
        if is_idle || Instant::now() >= end {
            break;
        }
    }
    let all = json!({
        "published": published, "reminders": triggered, "alarms": alarms, "expired": expired,
    });
    Ok((published + triggered + alarms > 0 || expired > 0).then_some(all))
}

/// What a duty did; zero if it failed, which is logged.
fn done<T: Default, E: Display>(duty: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| {
        let fields = json!({"duty": duty, "outcome": "failed", "error": error.to_string()});
        log::line(Level::Warn, COMPONENT, "relay", fields);
        T::default()
    })
}
