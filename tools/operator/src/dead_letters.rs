//! Records that no handler could deal with: what an operator can do about them.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::dead_letter::{UNKNOWN_TOPIC, record_key};
use postgres::{Client, Row};
use serde_json::Value;

use crate::deployment::{Deployment, Form};

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id.
    pub id: String,
    /// The topic that the record was first in.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// The record as it was; empty in a list.
    pub payload: Vec<u8>,
    /// The event's id, where the record is a CloudEvent.
    pub event_id: Option<String>,
    /// The event's type, likewise.
    pub event_type: Option<String>,
    /// Whose event it is; else the record's key.
    pub user_id: Option<String>,
    /// How often it was given up.
    pub deliveries: i32,
    /// `open`, `replayed` or `discarded`.
    pub status: String,
    /// When it came first, RFC 3339.
    pub first_received_at: String,
    /// When it came last.
    pub last_received_at: String,
    /// When it was replayed or discarded.
    pub resolved_at: Option<String>,
}

/// As much of a record as there is.
const WHOLE: i32 = i32::MAX;

impl DeadLetter {
    /// Reads what the database's `dead_letter_json` tells.
    fn read(letter: &Value) -> Result<Self> {
        let text = |name: &str| letter[name].as_str().map(str::to_owned);
        let needed = |name: &str| text(name).with_context(|| format!("{name} is not said"));
        let number = |name: &str| {
            let number = letter[name].as_i64();
            number.with_context(|| format!("{name} is not said"))
        };
        Ok(Self {
            id: needed("id")?,
            topic: needed("topic")?,
            partition: i32::try_from(number("partition")?)?,
            offset: number("offset")?,
            payload: STANDARD.decode(needed("payload")?)?,
            event_id: text("event_id"),
            event_type: text("event_type"),
            user_id: text("user_id"),
            deliveries: i32::try_from(number("deliveries")?)?,
            status: needed("status")?,
            first_received_at: needed("first_received_at")?,
            last_received_at: needed("last_received_at")?,
            resolved_at: text("resolved_at"),
        })
    }
}

/// Lists dead letters without their records, at most `limit`: the open ones, the oldest first; and where `all` is wanted, after
/// them those that were dealt with, the latest first.
///
/// # Errors
/// When the database fails.
pub fn list(deployment: &Deployment, all: bool, limit: i32) -> Result<Vec<DeadLetter>> {
    let mut database = deployment.connect()?;
    let statement = "SELECT list_dead_letters(is_open => $1, after_at => NULL, after_id => NULL, most => $2, bytes => 256)::text";
    let mut letters = Vec::new();
    for is_open in [true, false] {
        let left = limit - i32::try_from(letters.len())?;
        if left > 0 && (is_open || all) {
            let page = json(&database.query_one(statement, &[&is_open, &left])?)?;
            for letter in page["letters"].as_array().into_iter().flatten() {
                let mut letter = DeadLetter::read(letter)?;
                letter.payload.clear();
                letters.push(letter);
            }
        }
    }
    Ok(letters)
}

/// Finds a dead letter by its id, or by the beginning of its id if no other begins so.
///
/// # Errors
/// When there is none or there are several.
pub fn find(deployment: &Deployment, id: &str) -> Result<DeadLetter> {
    find_in(&mut deployment.connect()?, id)
}

fn find_in(database: &mut Client, id: &str) -> Result<DeadLetter> {
    let rows = database.query(
        "SELECT read_dead_letter(id, $2)::text FROM dead_letters WHERE starts_with(id::text, lower($1)) LIMIT 2",
        &[&id, &WHOLE],
    )?;
    match rows.as_slice() {
        [] => bail!("there is no dead letter {id}"),
        [row] => DeadLetter::read(&json(row)?),
        _ => bail!("several dead letters begin with {id}"),
    }
}

fn json(row: &Row) -> Result<Value> {
    let text: &str = row.try_get(0)?;
    serde_json::from_str(text).context("an answer that is not JSON")
}

/// Publishes a dead letter to the topic that it came from, or to `topic`, byte for byte and with its key, then
/// marks it as replayed. Given up again, it becomes another dead letter.
///
/// # Errors
/// When it is not open, or the topic that it came from is not known and none is given, or the sidecar or the database
/// fails; it is open then, and to replay it again does no harm.
pub fn replay(deployment: &Deployment, id: &str, topic: Option<&str>) -> Result<DeadLetter> {
    let mut database = deployment.connect()?;
    let letter = open(&mut database, id)?;
    if topic.is_none() && letter.topic == UNKNOWN_TOPIC {
        bail!(
            "which topic the dead letter {} came from is not known; say where to publish it with --topic",
            letter.id
        );
    }
    deployment.publish(
        topic.unwrap_or(&letter.topic),
        record_key(&letter.payload, letter.user_id.as_deref()).as_deref(),
        Form::Raw,
        None,
        &letter.payload,
    )?;
    resolve(&mut database, &letter.id, "replayed")
        .context("it was published, but could not be marked as replayed")
}

/// Marks a dead letter as not to be dealt with.
///
/// # Errors
/// When it is not open or the database fails.
pub fn discard(deployment: &Deployment, id: &str) -> Result<DeadLetter> {
    let mut database = deployment.connect()?;
    let letter = open(&mut database, id)?;
    resolve(&mut database, &letter.id, "discarded")
}

fn open(database: &mut Client, id: &str) -> Result<DeadLetter> {
    let letter = find_in(database, id)?;
    if letter.status != "open" {
        bail!(
            "the dead letter {} was {} at {}",
            letter.id,
            letter.status,
            letter.resolved_at.as_deref().unwrap_or("an unknown time")
        );
    }
    Ok(letter)
}

fn resolve(database: &mut Client, id: &str, resolution: &str) -> Result<DeadLetter> {
    let statement = "SELECT resolve_dead_letter(letter_id => $1::text::uuid, resolution => $2, bytes => $3)::text";
    let answer = json(&database.query_one(statement, &[&id, &resolution, &WHOLE])?)?;
    if answer["outcome"] != "resolved" {
        bail!("somebody else has dealt with it meanwhile");
    }
    DeadLetter::read(&answer["letter"])
}
