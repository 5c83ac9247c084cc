//! Records that no handler could deal with: what an operator can do about them.

use anyhow::{Context, Result, bail};
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
    /// The record as it was.
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

const COLUMNS: &str = "id::text, topic, kafka_partition, kafka_offset, payload, event_id, event_type, user_id, \
    deliveries, status, rfc3339(first_received_at), rfc3339(last_received_at), rfc3339(resolved_at)";

impl DeadLetter {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            topic: row.try_get(1)?,
            partition: row.try_get(2)?,
            offset: row.try_get(3)?,
            payload: row.try_get(4)?,
            event_id: row.try_get(5)?,
            event_type: row.try_get(6)?,
            user_id: row.try_get(7)?,
            deliveries: row.try_get(8)?,
            status: row.try_get(9)?,
            first_received_at: row.try_get(10)?,
            last_received_at: row.try_get(11)?,
            resolved_at: row.try_get(12)?,
        })
    }

    /// What chose the record's partition: the event's own word, else its user.
    fn key(&self) -> Option<String> {
        let event: Value = serde_json::from_slice(&self.payload).unwrap_or_default();
        let key = event.get("partitionkey").and_then(Value::as_str);
        key.map(str::to_owned).or_else(|| self.user_id.clone())
    }
}

/// Lists dead letters, the oldest first, at most `limit`: the open ones, or `all`.
///
/// # Errors
/// When the database fails.
pub fn list(deployment: &Deployment, all: bool, limit: i64) -> Result<Vec<DeadLetter>> {
    let rows = deployment.connect()?.query(
        &format!(
            "SELECT {COLUMNS} FROM dead_letters WHERE $1 OR status = 'open'
            ORDER BY first_received_at, id LIMIT $2"
        ),
        &[&all, &limit],
    )?;
    rows.iter().map(DeadLetter::read).collect()
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
        &format!(
            "SELECT {COLUMNS} FROM dead_letters WHERE starts_with(id::text, lower($1)) LIMIT 2"
        ),
        &[&id],
    )?;
    match rows.as_slice() {
        [] => bail!("there is no dead letter {id}"),
        [row] => DeadLetter::read(row),
        _ => bail!("several dead letters begin with {id}"),
    }
}

/// The topic of a letter whose record did not say where it came from.
const UNKNOWN: &str = "unknown";

/// Publishes a dead letter to the topic that it came from, or to `topic`, byte for byte and with its key, then
/// marks it as replayed. Given up again, it becomes another dead letter.
///
/// # Errors
/// When it is not open, or the topic that it came from is not known and none is given, or the sidecar or the database
/// fails; it is open then, and to replay it again does no harm.
pub fn replay(deployment: &Deployment, id: &str, topic: Option<&str>) -> Result<DeadLetter> {
    let mut database = deployment.connect()?;
    let letter = open(&mut database, id)?;
    if topic.is_none() && letter.topic == UNKNOWN {
        bail!(
            "which topic the dead letter {} came from is not known; say where to publish it with --topic",
            letter.id
        );
    }
    deployment.publish(
        topic.unwrap_or(&letter.topic),
        letter.key().as_deref(),
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

fn resolve(database: &mut Client, id: &str, status: &str) -> Result<DeadLetter> {
    let row = database.query_opt(
        &format!(
            "UPDATE dead_letters SET status = $2, resolved_at = clock_timestamp()
            WHERE id = $1::text::uuid AND status = 'open' RETURNING {COLUMNS}"
        ),
        &[&id, &status],
    )?;
    DeadLetter::read(&row.context("somebody else has dealt with it meanwhile")?)
}
