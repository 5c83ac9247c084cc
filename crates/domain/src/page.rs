//! Pages of a list, by key: each begins after a position in the list's order, never at an offset.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::query::Query;
use crate::violation::Violation;

/// How many rows a page has by default.
pub const DEFAULT_LIMIT: u16 = 50;

/// How many rows a page may have.
pub const LARGEST_LIMIT: u16 = 200;

/// A row's place in an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The sort key as text; `None` if the row has none.
    #[serde(rename = "k")]
    pub key: Option<String>,
    /// The row's id, which breaks ties.
    #[serde(rename = "i")]
    pub id: Uuid,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    /// The order's name: a position in one order means nothing in another.
    #[serde(rename = "o")]
    order: String,
    #[serde(flatten)]
    position: Position,
}

/// The cursor of the page that begins after `position` in `order`.
pub fn cursor(order: &str, position: Position) -> String {
    let order = order.to_owned();
    // Strings and a UUID always serialize.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Cursor { order, position }).unwrap_or_default())
}

/// The position in the parameter `cursor`, if there is one.
///
/// # Errors
///
/// When it was not made by [`cursor`] for this order, or its key does not fit.
pub fn after(
    query: &Query,
    order: &str,
    key_fits: impl Fn(Option<&str>) -> bool,
) -> Result<Option<Position>, Violation> {
    let Some(text) = query.get("cursor") else {
        return Ok(None);
    };
    let cursor: Option<Cursor> = URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok());
    cursor
        .filter(|cursor| cursor.order == order && key_fits(cursor.position.key.as_deref()))
        .map(|cursor| Some(cursor.position))
        .ok_or_else(|| {
            Violation::parameter(
                "cursor",
                "must come from a Link of a list in the same order",
            )
        })
}

/// The parameter `limit`: 1 to [`LARGEST_LIMIT`], by default [`DEFAULT_LIMIT`].
///
/// # Errors
///
/// When it is anything else.
pub fn limit(query: &Query) -> Result<u16, Violation> {
    match query.get("limit").map(str::parse) {
        None => Ok(DEFAULT_LIMIT),
        Some(Ok(limit @ 1..=LARGEST_LIMIT)) => Ok(limit),
        Some(_) => Err(Violation::parameter(
            "limit",
            format!("must be 1 to {LARGEST_LIMIT}"),
        )),
    }
}
