//! Records that no handler could deal with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::dead_letter::{record_key, shown};
use domain::operator_actions::{parse_confirmation, parse_replay};
use domain::operator_lists::LetterQuery;
use domain::page::Position;
use domain::timestamp::Timestamp;
use platform::call::Call;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::problem::Problem;
use platform::sidecar::Sidecar;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::record::Action;
use crate::route::LETTERS;

/// How many bytes of a payload a list shows.
pub(crate) const BYTES_LISTED: i32 = 2000;

/// How many bytes of a payload one letter shows.
pub(crate) const BYTES_SHOWN: i32 = 64 * 1024;

/// What `list_dead_letters` tells.
#[derive(Deserialize)]
struct Page {
    letters: Vec<Letter>,
    last: Option<Position>,
}

/// A dead letter; what is not named here is passed on as it is.
#[derive(Deserialize)]
struct Letter {
    bytes: usize,
    /// The first of them, in base64.
    payload: String,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// What `resolve_dead_letter` tells.
#[derive(Deserialize)]
struct Resolved {
    outcome: String,
    letter: Option<Letter>,
}

impl Letter {
    fn text(&self, member: &str) -> Option<&str> {
        self.other.get(member).and_then(Value::as_str)
    }

    fn payload(&self) -> Vec<u8> {
        STANDARD.decode(&self.payload).unwrap_or_default()
    }

    /// As the API shows it.
    fn json(self) -> Value {
        let read = self.payload();
        let is_cut = read.len() < self.bytes;
        let (encoding, payload) = shown(&read, is_cut);
        let mut members = self.other;
        members.insert("bytes".to_owned(), json!(self.bytes));
        members.insert("encoding".to_owned(), json!(encoding));
        members.insert("payload".to_owned(), json!(payload));
        members.insert("is_cut".to_owned(), json!(is_cut));
        Value::Object(members)
    }

    fn response(self) -> Response {
        Response::json(200, self.json().to_string())
    }
}

pub(crate) fn list(request: &Request) -> Result<Response, Problem> {
    let query = LetterQuery::parse(request.query())?;
    let after = query.after.as_ref();
    let at = after.and_then(|after| Timestamp::parse(after.key.as_deref()?).ok());
    let call = Call::of("list_dead_letters")
        .boolean("is_open", query.is_open)
        .instant("after_at", at)
        .optional_uuid("after_id", after.map(|after| after.id))
        .integer("most", query.limit)
        .integer("bytes", BYTES_LISTED);
    let page: Page = Database::from_configuration()?.call(call)?;
    let letters: Vec<Value> = page.letters.into_iter().map(Letter::json).collect();
    let response = Response::json(200, Value::Array(letters).to_string());
    Ok(match page.last {
        None => response,
        Some(last) => {
            let status = if query.is_open { "open" } else { "resolved" };
            let (limit, cursor) = (query.limit, query.cursor_after(last));
            let next = format!("{LETTERS}?status={status}&limit={limit}&cursor={cursor}");
            response.with_header("link", format!("<{next}>; rel=\"next\""))
        }
    })
}

pub(crate) fn read(id: Uuid) -> Result<Response, Problem> {
    find(id, BYTES_SHOWN).map(Letter::response)
}

fn find(id: Uuid, bytes: i32) -> Result<Letter, Problem> {
    let call = Call::of("read_dead_letter")
        .uuid("letter_id", id)
        .integer("bytes", bytes);
    let letter: Option<Letter> = Database::from_configuration()?.call(call)?;
    letter.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("There is no such dead letter.")
}

/// Publishes a letter again, as it was, and marks it as replayed. Where it was replayed already, nothing is published.
pub(crate) async fn replay(id: Uuid, body: Value, action: Action) -> Result<Response, Problem> {
    let sidecar = Sidecar::from_configuration()?;
    let topics = sidecar.topics();
    let topic = parse_replay(body, &id.to_string(), &topics)?;
    let action = action.about("dead_letter_id", id.to_string());
    // Whole: it is published byte for byte.
    let letter = match find(id, i32::MAX) {
        Ok(letter) => letter,
        Err(problem) => return Err(action.failed(problem)),
    };
    match letter.text("status") {
        Some("open") => {}
        Some("replayed") => {
            action.done("unchanged");
            return read(id);
        }
        status => {
            let problem = Problem::letter_resolved(status.unwrap_or_default());
            return Err(action.failed(problem));
        }
    }
    let from = letter.text("topic").unwrap_or_default();
    let Some(topic) = topics
        .into_iter()
        .find(|known| *known == topic.as_deref().unwrap_or(from))
    else {
        return Err(action.failed(Problem::topic_unknown(&topics)));
    };
    let action = action.about("topic", topic);
    let record = letter.payload();
    let key = record_key(&record, letter.text("user_id"));
    let published = sidecar.publish_record(topic, key.as_deref(), &record).await;
    if let Err(error) = published {
        return Err(action.failed(Problem::not_published(error.to_string())));
    }
    // Were it not marked now, it would be replayed once more: handlers that have dealt with it do nothing then.
    resolve(id, "replayed", action)
}

pub(crate) fn discard(id: Uuid, body: Value, action: Action) -> Result<Response, Problem> {
    parse_confirmation(body, &id.to_string())?;
    let action = action.about("dead_letter_id", id.to_string());
    resolve(id, "discarded", action)
}

fn resolve(id: Uuid, resolution: &str, action: Action) -> Result<Response, Problem> {
    let call = Call::of("resolve_dead_letter")
        .uuid("letter_id", id)
        .text("resolution", resolution)
        .integer("bytes", BYTES_SHOWN);
    let resolved = Database::from_configuration()
        .map_err(Problem::from)
        .and_then(|database| Ok(database.call::<Resolved>(call)?));
    match resolved {
        Err(problem) => Err(action.failed(problem)),
        Ok(Resolved {
            outcome,
            letter: Some(letter),
        }) => {
            if outcome == "resolved_otherwise" {
                let status = letter.text("status").unwrap_or_default();
                return Err(action.failed(Problem::letter_resolved(status)));
            }
            action.done(match outcome.as_str() {
                "resolved" => resolution,
                _ => "unchanged",
            });
            Ok(letter.response())
        }
        Ok(Resolved { letter: None, .. }) => Err(action.failed(unknown())),
    }
}
