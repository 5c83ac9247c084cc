//! Publishing stored events again: for a consumer that is new or has lost its data, and for events that never reached
//! their handler.

use anyhow::{Context, Result, bail};
use postgres::{Client, Row};

use crate::deployment::{Deployment, Form};

/// How many events are read at once.
const BATCH: i64 = 500;

/// What was published again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many events.
    pub count: usize,
    /// The number of the last of them among its user's events.
    pub last: i64,
}

/// An event that was published and that a handler never dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhandled {
    /// Whose event it is.
    pub user: String,
    /// Its number among the user's events.
    pub number: i64,
    /// Its id.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// When the change was made, RFC 3339.
    pub time: String,
    /// The handler that has not claimed it.
    pub handler: String,
}

/// Columns of an event that is to be published, as [`Stored`] reads them. `event` was at the broker: it is published, and
/// was not skipped since (what was skipped is a dead letter that was never in the topic).
const COLUMNS: &str = "event.user_id, event.sequence, rfc3339(event.time), event.topic, event.traceparent, \
    cloud_event(event)::text";
const PUBLISHED: &str =
    "event.sequence <= (SELECT published FROM lanes AS lane WHERE lane.user_id = event.user_id)
    AND NOT EXISTS (
        SELECT FROM dead_letters AS letter
        WHERE letter.event_id = event.id::text
            AND letter.topic = event.topic
            AND letter.kafka_partition = -1
            AND letter.status <> 'replayed'
    )";

/// An event that is to be published.
struct Stored {
    user: String,
    number: i64,
    time: String,
    topic: String,
    traceparent: Option<String>,
    event: String,
}

impl Stored {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            user: row.try_get(0)?,
            number: row.try_get(1)?,
            time: row.try_get(2)?,
            topic: row.try_get(3)?,
            traceparent: row.try_get(4)?,
            event: row.try_get(5)?,
        })
    }

    /// Publishes it; returns when the broker has acknowledged it.
    fn publish(&self, deployment: &Deployment) -> Result<()> {
        let topic = match self.topic.as_str() {
            "tasks" | "reminders" => self.topic.as_str(),
            other => bail!("event {} belongs to no known topic: {other}", self.number),
        };
        deployment.publish(
            topic,
            Some(&self.user),
            Form::CloudEvent,
            self.traceparent.as_deref(),
            self.event.as_bytes(),
        )
    }
}

/// Publishes a user's events again in the order of their numbers, each only after the broker has
/// acknowledged the one before: those of `since` (RFC 3339) and later that had been published.
/// What was new then is published once more with its id, so handlers that have seen it do nothing.
///
/// # Errors When the database or the sidecar fails. The error says up to which number it came. Running it again does no
/// harm.
pub fn replay(deployment: &Deployment, user: &str, since: &str) -> Result<Replayed> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events AS event
        WHERE event.user_id = $1 AND event.time >= $2::text::timestamptz AND event.sequence > $3 AND {PUBLISHED}
        ORDER BY event.sequence
        LIMIT $4"
    );
    let mut database = deployment.connect()?;
    let mut replayed = Replayed::default();
    loop {
        let rows = database.query(&statement, &[&user, &since, &replayed.last, &BATCH])?;
        let at = |event: &Stored| format!("event {}", event.number);
        if publish_all(deployment, &rows, &mut replayed, at)?.is_none() {
            return Ok(replayed);
        }
    }
}

/// Publishes the events of all users again, from `since` (RFC 3339) until now, in the order of their time, so each
/// user's in the order of their numbers; otherwise like [`replay`]. Events committed meanwhile are published anyway.
///
/// # Errors When the database or the sidecar fails. The error says up to which instant it came. Running it again from
/// there, or from the beginning, does no harm.
pub fn replay_all(deployment: &Deployment, since: &str) -> Result<Replayed> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events AS event
        WHERE event.time >= $1::text::timestamptz
            AND event.time < $2::text::timestamptz
            AND (event.time, event.user_id, event.sequence) > ($1::text::timestamptz, $3, $4)
            AND {PUBLISHED}
        ORDER BY event.time, event.user_id, event.sequence
        LIMIT $5"
    );
    let mut database = deployment.connect()?;
    let until = now(&mut database)?;
    // No event comes before this position at the instant.
    let (mut time, mut user) = (since.to_owned(), String::new());
    let mut replayed = Replayed::default();
    loop {
        let rows = database.query(&statement, &[&time, &until, &user, &replayed.last, &BATCH])?;
        match publish_all(deployment, &rows, &mut replayed, |event| event.time.clone())? {
            Some(event) => (time, user) = (event.time, event.user),
            None => return Ok(replayed),
        }
    }
}

/// Publishes the events of these rows in their order, each only after the broker has acknowledged the one before, and
/// counts them. Returns the last of them, if there is one. `place` names an event in an error.
fn publish_all(
    deployment: &Deployment,
    rows: &[Row],
    replayed: &mut Replayed,
    place: impl Fn(&Stored) -> String,
) -> Result<Option<Stored>> {
    let mut last = None;
    for row in rows {
        let event = Stored::read(row)?;
        event.publish(deployment).with_context(|| {
            format!(
                "stopped at {}, after {} events were published again",
                place(&event),
                replayed.count
            )
        })?;
        replayed.count += 1;
        replayed.last = event.number;
        last = Some(event);
    }
    Ok(last)
}

/// How old an event must be before [`unhandled`] counts it: a younger one may still be on its way to its handler.
const ON_ITS_WAY: &str = "5 minutes";

/// Finds published events of `since` (RFC 3339) and later that a handler has never dealt with, in the order of their
/// time, at most `limit`: those that the subscriptions deliver to it, that it has not claimed, and that are no dead
/// letters. There are none unless the broker lost some, or a group's backlog is larger than the last 5 minutes.
///
/// # Errors
/// When the database fails.
pub fn unhandled(deployment: &Deployment, since: &str, limit: i64) -> Result<Vec<Unhandled>> {
    let statement = format!(
        "SELECT event.user_id, event.sequence, event.id::text, event.type, rfc3339(event.time), handler
        FROM
            events AS event
            CROSS JOIN (
                VALUES ('recurrence', 'recurrence'), ('reminder', 'reminder'), ('notification', 'reminder')
            ) AS handlers (stream, handler)
        WHERE event.time >= $1::text::timestamptz
            AND event.time < statement_timestamp() - interval '{ON_ITS_WAY}'
            AND is_delivered(stream, event.type, event.data)
            AND event.sequence <= (SELECT published FROM lanes AS lane WHERE lane.user_id = event.user_id)
            AND NOT EXISTS (
                SELECT FROM processed_events AS claim
                WHERE claim.handler = handlers.handler AND claim.event_id = event.id
            )
            AND NOT EXISTS (SELECT FROM dead_letters AS letter WHERE letter.event_id = event.id::text)
        ORDER BY event.time, event.user_id, event.sequence, handler
        LIMIT $2"
    );
    let rows = deployment.connect()?.query(&statement, &[&since, &limit])?;
    rows.iter()
        .map(|row| {
            Ok(Unhandled {
                user: row.try_get(0)?,
                number: row.try_get(1)?,
                id: row.try_get(2)?,
                event_type: row.try_get(3)?,
                time: row.try_get(4)?,
                handler: row.try_get(5)?,
            })
        })
        .collect()
}

/// Publishes these events again, in their order, an event that two handlers lack once.
///
/// # Errors
/// When the database or the sidecar fails; beginning again does no harm.
pub fn replay_unhandled(deployment: &Deployment, events: &[Unhandled]) -> Result<usize> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events AS event
        WHERE event.user_id = $1 AND event.sequence = $2 AND event.time = $3::text::timestamptz AND event.id::text = $4"
    );
    let mut events: Vec<&Unhandled> = events.iter().collect();
    events.dedup_by(|one, other| one.id == other.id);
    let mut database = deployment.connect()?;
    let mut count = 0;
    for event in events {
        let parameters: [&(dyn postgres::types::ToSql + Sync); 4] =
            [&event.user, &event.number, &event.time, &event.id];
        // It may have expired meanwhile.
        let Some(row) = database.query_opt(&statement, &parameters)? else {
            continue;
        };
        Stored::read(&row)?.publish(deployment).with_context(|| {
            format!(
                "stopped at event {} of {}, after {count} were published again",
                event.number, event.user
            )
        })?;
        count += 1;
    }
    Ok(count)
}

fn now(database: &mut Client) -> Result<String> {
    let row = database.query_one("SELECT rfc3339(clock_timestamp())", &[])?;
    Ok(row.try_get(0)?)
}
