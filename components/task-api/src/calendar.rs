//! A user's tasks as a calendar: the address with its secret, and what programs read there.

use domain::calendar_secret::CalendarSecret;
use domain::entity_tag::listed_tags;
use domain::icalendar::{Entry, FORM, calendar};
use domain::user_id::UserId;
use platform::call::Call;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::problem::Problem;
use platform::random;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Answer;

/// What a calendar is served as.
pub(crate) const MEDIA_TYPE: &str = "text/calendar; charset=utf-8";

/// A client may keep the calendar but must ask again before it shows it; proxies must not keep it.
pub(crate) const CACHING: &str = "private, no-cache";

fn hash(secret: &CalendarSecret) -> Vec<u8> {
    Sha256::digest(secret.bytes()).to_vec()
}

/// Makes a new address for the user's calendar and ends the previous one.
pub(crate) fn create(user: &UserId) -> Result<Answer, Problem> {
    #[derive(Deserialize)]
    struct Created {
        created_at: String,
    }
    let secret = CalendarSecret::new(random::bytes());
    let call = Call::of("replace_calendar")
        .text("user_id", user.as_str())
        .bytes("secret_hash", Some(hash(&secret)));
    let created: Created = Database::from_configuration()?.call(call)?;
    let path = format!("/calendar/{}.ics", secret.expose());
    let body = json!({"path": path, "created_at": created.created_at});
    Ok(Response::json(201, body.to_string()).into())
}

/// Ends the address of the user's calendar, if there is one.
pub(crate) fn revoke(user: &UserId) -> Result<Answer, Problem> {
    let call = Call::of("revoke_calendar").text("user_id", user.as_str());
    let _: bool = Database::from_configuration()?.call(call)?;
    Ok(Response::new(204).into())
}

/// Reads the calendar with this secret. The database looks it up by its hash, so the time of the look-up reveals
/// nothing about a secret.
pub(crate) fn read(request: &Request, secret: Option<&str>) -> Result<Answer, Problem> {
    #[derive(Deserialize)]
    struct Found {
        tag: String,
        /// `None` if the client has them already.
        tasks: Option<Vec<Entry>>,
    }
    let no_such_calendar = || Problem::not_found("There is no such calendar.");
    let secret = secret
        .and_then(CalendarSecret::parse)
        .ok_or_else(no_such_calendar)?;
    let known = request.header("if-none-match").unwrap_or_default();
    // A tag of another form does not belong to this calendar.
    let form = format!("{FORM}-");
    let known: Vec<&str> = listed_tags(&known)
        .filter_map(|tag| {
            if tag == "*" {
                Some(tag)
            } else {
                tag.strip_prefix(&form)
            }
        })
        .collect();
    let call = Call::of("read_calendar")
        .bytes("secret_hash", Some(hash(&secret)))
        .json("known", json!(known).to_string());
    let found: Option<Found> = Database::from_configuration()?.call(call)?;
    let found = found.ok_or_else(no_such_calendar)?;
    let response = match found.tasks {
        None => Response::new(304),
        Some(tasks) => Response::new(200)
            .with_header("content-type", MEDIA_TYPE)
            .with_body(calendar(&tasks)),
    };
    Ok(response
        .with_header("etag", format!("\"{form}{}\"", found.tag))
        .with_header("cache-control", CACHING)
        .into())
}
