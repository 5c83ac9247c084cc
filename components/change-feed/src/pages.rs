//! Pages of changes.

use domain::change_feed::{After, ChangesQuery};
use domain::user_id::UserId;
use platform::call::Call;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{gone, path};

/// What `read_changes` returns.
#[derive(Deserialize)]
pub(crate) struct Page<Events> {
    pub(crate) gone: bool,
    pub(crate) last: i64,
    pub(crate) more: bool,
    pub(crate) events: Events,
}

/// The number to begin after, if the client sent one, and whether it wants only what is new.
pub(crate) fn beginning(after: After) -> (Option<i64>, bool) {
    match after {
        After::Beginning => (None, false),
        After::Number(number) => (Some(number), false),
        After::Latest => (None, true),
    }
}

/// Reads a page.
pub(crate) fn read(user: &UserId, after: After, limit: u16) -> Call {
    let (after, latest) = beginning(after);
    Call::of("read_changes")
        .text("user_id", user.as_str())
        .optional_bigint("after", after)
        .boolean("latest", latest)
        .integer("most", limit)
}

/// Answers with a page.
pub(crate) fn answer(
    request: &Request,
    user: &UserId,
    query: ChangesQuery,
) -> Result<Response, Problem> {
    let page: Page<Box<RawValue>> =
        Database::from_configuration()?.call(read(user, query.after, query.limit))?;
    if page.gone {
        return Err(gone(user));
    }
    let Page {
        last, more, events, ..
    } = page;
    let body = format!(r#"{{"events":{events},"last":{last},"more":{more}}}"#);
    let response = Response::json(200, body);
    if !more {
        return Ok(response);
    }
    let link = next_link(&path(user), request.query(), last);
    Ok(response.with_header("link", link))
}

/// The `Link` to the next page (RFC 8288). Of the parameters only `limit` is kept; the others are done with.
fn next_link(path: &str, query: &str, last: i64) -> String {
    let limit = query
        .split('&')
        .find(|pair| pair.starts_with("limit="))
        .map_or_else(String::new, |limit| format!("&{limit}"));
    format!("<{path}?after={last}{limit}>; rel=\"next\"")
}
