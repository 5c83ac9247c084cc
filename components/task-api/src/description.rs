//! `GET /openapi.json`: the API's description.

#[cfg(test)]
mod document;

use platform::http::Response;

use crate::Answer;

/// OpenAPI 3.1, as made by `document`.
const OPENAPI: &str = include_str!("../openapi.json");

/// Answers with the description.
pub(crate) fn answer() -> Answer {
    Response::json(200, OPENAPI).into()
}
