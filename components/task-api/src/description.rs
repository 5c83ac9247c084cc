//! `GET /openapi.json`: the API's description.

use platform::http::{Request, Response};
use platform::problem::Problem;
use spin_sdk::http::Method;

use crate::Answer;

/// OpenAPI 3.1.
const OPENAPI: &str = include_str!("../openapi.json");

/// Answers with the description.
pub(crate) fn answer(request: &Request) -> Result<Answer, Problem> {
    match request.method() {
        Method::Get => Ok(Response::json(200, OPENAPI).into()),
        _ => Err(Problem::method_not_allowed("GET")),
    }
}
