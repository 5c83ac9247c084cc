//! Publishing stored events again: for a consumer that is new or has lost its data.

use anyhow::{Context, Result, bail};

use crate::deployment::{Deployment, Form};
use crate::endpoints::{REMINDERS_TOPIC, TASKS_TOPIC};
use crate::interrupt;

/// How many events are read at once.
const BATCH: i64 = 500;

/// What was published again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many events.
    pub count: usize,
    /// The number of the last of them among the user's events.
    pub last: i64,
}

/// Publishes a user's events again in the order of their numbers, each only after the broker has
/// acknowledged the one before: those of `since` (RFC 3339) and later that had been published.
/// What was new then is published once more with its id, so handlers that have seen it do nothing.
///
/// # Errors
/// When the database or the sidecar fails. Says up to which number it came; beginning again does no
/// harm.
pub fn replay(deployment: &Deployment, user: &str, since: &str) -> Result<Replayed> {
    let mut database = deployment.connect()?;
    let mut replayed = Replayed::default();
    loop {
        let rows = database.query(
            "SELECT event.sequence, event.topic, event.traceparent, cloud_event(event)::text
            FROM events AS event JOIN lanes AS lane USING (user_id)
            WHERE event.user_id = $1
                AND event.time >= $2::text::timestamptz
                AND event.sequence > $3
                AND event.sequence <= lane.published
            ORDER BY event.sequence
            LIMIT $4",
            &[&user, &since, &replayed.last, &BATCH],
        )?;
        if rows.is_empty() {
            return Ok(replayed);
        }
        for row in rows {
            let number: i64 = row.try_get(0)?;
            let topic = match row.try_get(1)? {
                "tasks" => TASKS_TOPIC,
                "reminders" => REMINDERS_TOPIC,
                other => bail!("event {number} belongs to no known topic: {other}"),
            };
            let traceparent: Option<&str> = row.try_get(2)?;
            let event: &str = row.try_get(3)?;
            interrupt::check()?;
            deployment
                .publish(
                    topic,
                    Some(user),
                    Form::CloudEvent,
                    traceparent,
                    event.as_bytes(),
                )
                .with_context(|| {
                    format!(
                        "stopped at event {number}, after {} were published again",
                        replayed.count
                    )
                })?;
            replayed = Replayed {
                count: replayed.count + 1,
                last: number,
            };
        }
    }
}
