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

/// `GET /readyz`: the database answers. Also the sidecar's health check of the app, so that deliveries pause while it
/// does not.
pub(crate) fn ready(request: &Request) -> Result<Answer, Problem> {
    get(request)?;
    let answer: Result<i64, _> = Database::from_configuration()?.query("SELECT '1'", &[]);
    match answer {
        Ok(_) => Ok(Response::json(200, r#"{"status":"ok"}"#).into()),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

fn get(request: &Request) -> Result<(), Problem> {
    match request.method() {
        Method::Get => Ok(()),
        _ => Err(Problem::method_not_allowed("GET")),
    }
}
