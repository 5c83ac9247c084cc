//! What the operator's API says of itself: `GET /operator/api/openapi.json`. A document of its own: clients of tasks have no
//! business with it, and it asks for another kind of token.

#[cfg(test)]
mod document;

/// OpenAPI 3.1, as made by `document`.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");
