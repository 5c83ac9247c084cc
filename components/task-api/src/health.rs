//! Liveness and readiness.

use platform::database::Database;
use platform::http::Response;
use platform::problem::Problem;

use crate::Answer;

/// `GET /healthz`: the component runs.
pub(crate) fn live() -> Answer {
    Response::json(200, r#"{"status":"ok"}"#).into()
}

/// Whether the database takes writes. A standby and a database set to read-only answer queries all the same.
const WRITABLE: &str =
    "NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'";

/// `GET /readyz`: the database answers, and takes writes.
pub(crate) fn ready() -> Result<Answer, Problem> {
    let statement = format!("SELECT ({WRITABLE})::text");
    match Database::for_probes()?.query(&statement, &[]) {
        Ok(true) => Ok(live()),
        Ok(false) => Err(Problem::unavailable("the database is read-only")),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

/// `GET /readyz/deliveries`, the sidecar's health check of the app: deliveries pause while the database does not answer or
/// take writes, in the first 2 s of its life, and while the relay makes them pause. A sidecar that subscribes anew within a moment of
/// ending its subscriptions can lose them.
pub(crate) fn ready_for_deliveries() -> Result<Answer, Problem> {
    let statement = format!(
        "SELECT (
            NOT ({WRITABLE})
            OR pg_postmaster_start_time() > clock_timestamp() - interval '2 seconds'
            OR EXISTS (SELECT FROM delivery_watch WHERE pause_until > clock_timestamp())
        )::text"
    );
    let pause: bool = Database::for_probes()?.query(&statement, &[])?;
    if pause {
        return Err(Problem::unavailable("deliveries pause"));
    }
    Ok(live())
}
