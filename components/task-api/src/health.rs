//! Liveness and readiness.

use platform::database::Database;
use platform::http::{Request, Response};
use platform::problem::Problem;
use spin_sdk::http::Method;

use crate::Answer;

/// `GET /healthz`: the component runs.
pub(crate) fn live(request: &Request) -> Result<Answer, Problem> {
    get(request)?;
    Ok(Response::json(200, r#"{"status":"ok"}"#).into())
}

/// `GET /readyz`: the database answers.
pub(crate) fn ready(request: &Request) -> Result<Answer, Problem> {
    get(request)?;
    let answer: Result<i64, _> = Database::from_configuration()?.query("SELECT '1'", &[]);
    match answer {
        Ok(_) => Ok(Response::json(200, r#"{"status":"ok"}"#).into()),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

/// `GET /readyz/deliveries`, the sidecar's health check of the app: deliveries pause while the database does not answer,
/// in the first 2 s of its life, and while the relay makes them pause. A sidecar that subscribes anew within a moment of
/// ending its subscriptions can lose them.
pub(crate) fn ready_for_deliveries(request: &Request) -> Result<Answer, Problem> {
    get(request)?;
    let pause: bool = Database::from_configuration()?.query(
        "SELECT (
            pg_postmaster_start_time() > clock_timestamp() - interval '2 seconds'
            OR EXISTS (SELECT FROM delivery_watch WHERE pause_until > clock_timestamp())
        )::text",
        &[],
    )?;
    if pause {
        return Err(Problem::unavailable("deliveries pause"));
    }
    Ok(Response::json(200, r#"{"status":"ok"}"#).into())
}

fn get(request: &Request) -> Result<(), Problem> {
    match request.method() {
        Method::Get => Ok(()),
        _ => Err(Problem::method_not_allowed("GET")),
    }
}
