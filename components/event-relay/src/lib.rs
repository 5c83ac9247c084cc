//! `POST /internal/relay`: publishes the events that are still unpublished.
//!
//! The sidecar's cron binding calls it in every replica. A run ends within 4 s; runs that overlap do no harm, since
//! each lane has one holder at a time.

use std::time::{Duration, Instant};

use futures::StreamExt;
use platform::app_token;
use platform::breaker::Permission;
use platform::configuration;
use platform::database::{Database, DatabaseError, number};
use platform::http::{Request, Response};
use platform::log::{self, Level};
use platform::problem::Problem;
use platform::publisher::{Publisher, Turn};
use platform::sidecar::Sidecar;
use serde_json::json;
use spin_sdk::http::{IncomingRequest, Method, ResponseOutparam};
use spin_sdk::http_component;

/// The component's name in logs.
const COMPONENT: &str = "event-relay";

/// When a run takes up no further lane. A lane's share takes 2 s at most, so the run ends within 4 s.
const LAST_START: Duration = Duration::from_secs(2);

/// How many lanes are worked on at once.
const LANES_AT_ONCE: usize = 8;

/// How many lanes are looked up at once.
const LANES: i64 = 64;

#[http_component]
async fn handle(incoming: IncomingRequest, out: ResponseOutparam) {
    let start = Instant::now();
    let request = Request::new(incoming);
    let run = match authorize(&request) {
        Ok(()) => run(start).await,
        Err(problem) => Err(problem),
    };
    match run {
        Ok(lanes) => {
            Response::new(200).send(out).await;
            if lanes > 0 {
                let duration = start.elapsed().as_millis() as u64;
                let fields = json!({"lanes": lanes, "outcome": "done", "duration_ms": duration});
                log::line(Level::Info, COMPONENT, "relay", fields);
            }
        }
        Err(problem) => {
            let fields =
                json!({"status": problem.status(), "outcome": "refused", "error": problem.cause()});
            problem.response().send(out).await;
            log::line(Level::Warn, COMPONENT, "relay", fields);
        }
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

/// Publishes what is left, lane by lane; the number of lanes taken up.
async fn run(start: Instant) -> Result<usize, Problem> {
    let database = Database::from_configuration()?;
    let sidecar = Sidecar::from_configuration()?;
    let publisher = Publisher {
        database: &database,
        sidecar: &sidecar,
        component: COMPONENT,
    };
    let breaker = publisher.breaker();
    let mut lanes = lanes_behind(&database)?;
    let mut count = 0;
    match breaker.permission()? {
        Permission::Call => {}
        Permission::Wait => return Ok(0),
        Permission::Probe => {
            // The first lane's outcome decides. Without a lane there is nothing to fail.
            if let Some(user) = lanes.pop() {
                count += 1;
                if publisher.publish_rest(&user).await == Turn::Failed {
                    breaker.probe_failed()?;
                    return Ok(count);
                }
            }
            breaker.close()?;
        }
    }
    while !lanes.is_empty() {
        let mut turns = futures::stream::iter(&lanes)
            .map(|user| async {
                if start.elapsed() < LAST_START {
                    Some(publisher.publish_rest(user).await)
                } else {
                    None
                }
            })
            .buffer_unordered(LANES_AT_ONCE);
        while let Some(turn) = turns.next().await {
            match turn {
                Some(Turn::Done) => count += 1,
                // The breaker is open now, or the time is up.
                Some(Turn::Failed) | None => return Ok(count),
            }
        }
        drop(turns);
        if start.elapsed() >= LAST_START {
            break;
        }
        lanes = lanes_behind(&database)?;
    }
    Ok(count)
}

/// The users of lanes that have something to publish and that nobody is publishing.
fn lanes_behind(database: &Database) -> Result<Vec<String>, DatabaseError> {
    database.query(
        "SELECT coalesce(jsonb_agg(user_id), '[]')::text
        FROM (
            SELECT user_id
            FROM lanes
            WHERE published < head
                AND coalesce(leased_until <= clock_timestamp(), true)
                AND coalesce(blocked_until <= clock_timestamp(), true)
            LIMIT $1::bigint
        ) AS behind",
        &[number(LANES)],
    )
}
