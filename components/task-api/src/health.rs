//! Liveness and readiness.

use platform::database::Database;
use platform::functions;
use platform::http::Response;
use platform::problem::Problem;
use serde::Deserialize;

use crate::Answer;

/// `GET /healthz`: the service is alive.
pub(crate) fn live() -> Answer {
    Response::json(200, r#"{"status":"ok"}"#).into()
}

/// Whether the database takes writes. A standby or a read-only database would still answer queries.
const WRITABLE: &str =
    "NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'";

/// What readiness asks of the database.
#[derive(Debug, Deserialize)]
struct Condition {
    writable: bool,
    isolation: String,
    missing: Vec<String>,
}

impl Condition {
    /// What is wrong with the database, if anything.
    fn fault(&self) -> Option<String> {
        if !self.writable {
            Some("the database is read-only".to_owned())
        } else if self.isolation != "read committed" {
            // Inside a function, each statement must see what was committed before it began.
            Some(format!(
                "transactions are {}, not read committed",
                self.isolation
            ))
        } else if !self.missing.is_empty() {
            let names = self.missing.join(", ");
            Some(format!(
                "the database lacks functions as this version calls them: {names}"
            ))
        } else {
            None
        }
    }
}

/// The statement of `GET /readyz`; its parameter is [`functions::called`].
fn condition_statement() -> String {
    format!(
        "SELECT jsonb_build_object(
            'writable', {WRITABLE}, 'isolation', current_setting('transaction_isolation'),
            'missing', {}
        )::text",
        functions::missing("$1")
    )
}

/// `GET /readyz`: the database answers and takes writes, its transactions are `read committed`, and it has the
/// functions that this version calls.
pub(crate) fn ready() -> Result<Answer, Problem> {
    let condition =
        Database::for_probes()?.query::<Condition>(&condition_statement(), &[functions::called()]);
    match condition.map(|condition| condition.fault()) {
        Ok(None) => Ok(live()),
        Ok(Some(fault)) => Err(Problem::unavailable(fault)),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

/// `GET /readyz/deliveries`, the sidecar's health check of the app: deliveries pause while the database does not answer
/// or take writes, in the first 2 s of its life, and while the relay makes them pause. A sidecar that subscribes again
/// right after it ended its subscriptions can lose them.
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
