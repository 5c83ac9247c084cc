//! Liveness and readiness.

use platform::database::Database;
use platform::http::Response;
use platform::problem::Problem;

use crate::Answer;

/// `GET /healthz`: the component runs.
pub(crate) fn live() -> Answer {
    Response::json(200, r#"{"status":"ok"}"#).into()
}

/// `GET /readyz`: the database answers.
pub(crate) fn ready() -> Result<Answer, Problem> {
    let answer: Result<i64, _> = Database::from_configuration()?.query("SELECT '1'", &[]);
    match answer {
        Ok(_) => Ok(live()),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

/// `GET /readyz/deliveries`, the sidecar's health check of the app: deliveries pause while the database does not answer,
/// in the first 2 s of its life, and while the relay makes them pause. A sidecar that subscribes anew within a moment of
/// ending its subscriptions can lose them.
pub(crate) fn ready_for_deliveries() -> Result<Answer, Problem> {
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
    Ok(live())
}
