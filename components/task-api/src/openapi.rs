//! `GET /openapi.json`: the description of the API. It needs no token: it is the same for everybody, and holds nothing that
//! the repository does not show.

#[cfg(test)]
pub(crate) mod generator;

use platform::http::Response;

use crate::Answer;

/// OpenAPI 3.1, as made by `generator`.
const OPENAPI: &str = include_str!("../openapi.json");

/// Answers with the description.
pub(crate) fn answer() -> Answer {
    Response::json(200, OPENAPI).into()
}
