//! Users' events that wait for publishing: what an operator can see and do.

use anyhow::{Context, Result, bail};
use postgres::Row;
use serde_json::Value;

use crate::deployment::Deployment;

/// A user's lane with something unpublished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Whose events they are.
    pub user: String,
    /// How many events wait.
    pub behind: i64,
    /// The number of the next event to be published.
    pub next: i64,
    /// The next event; `None` where it is missing.
    pub event: Option<NextEvent>,
    /// How often the next event was tried without success.
    pub attempts: i32,
    /// Whether somebody has to look: the next event was refused for good, or is missing.
    pub blocked: bool,
    /// Whether somebody is publishing the next event.
    pub held: bool,
    /// When the lane's turn comes, or came, RFC 3339.
    pub turn_at: String,
    /// Whether that is still to come.
    pub rests: bool,
}

/// The event that a lane waits with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextEvent {
    /// The event's id.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// The task that it is about.
    pub task: String,
    /// Since when it waits, RFC 3339.
    pub time: String,
    /// How long it is as JSON, in bytes.
    pub bytes: i32,
}

/// What became of an attempt to skip an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The dead letter that the event is now; `None` where the event was missing.
    pub letter: Option<String>,
    /// How many events of the user still wait.
    pub left: i64,
}

/// What was raised after a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// How many lanes: of every user with an event.
    pub lanes: i64,
    /// How many events, which were not published, have other numbers now.
    pub events: i64,
    /// After which number the lanes of new users begin.
    pub start: i64,
}

/// Lanes of the queue with their next event. An event is rendered only for those that are shown.
const LANES: &str = "
    SELECT
        lane.user_id, lane.head - lane.published, lane.published + 1, event.id::text, event.type, event.task_id::text,
        rfc3339(event.time), octet_length((outbound_event(event) -> 'event')::text), turn.attempts, turn.blocked,
        coalesce(turn.held_until > clock_timestamp(), false), coalesce(rfc3339(turn.turn_at), 'never'), turn.turn_at > clock_timestamp()
    FROM turn
    JOIN lanes AS lane USING (user_id)
    LEFT JOIN LATERAL (
        SELECT * FROM events AS next
        WHERE next.user_id = turn.user_id AND next.sequence = lane.published + 1 AND next.time >= turn.since
        LIMIT 1
    ) AS event ON true
    ORDER BY turn.blocked DESC, turn.attempts DESC, turn.turn_at, turn.user_id";

impl Lane {
    fn read(row: &Row) -> Result<Self> {
        let event = match row.try_get(3)? {
            Some(id) => Some(NextEvent {
                id,
                event_type: row.try_get(4)?,
                task: row.try_get(5)?,
                time: row.try_get(6)?,
                bytes: row.try_get(7)?,
            }),
            None => None,
        };
        Ok(Self {
            user: row.try_get(0)?,
            behind: row.try_get(1)?,
            next: row.try_get(2)?,
            event,
            attempts: row.try_get(8)?,
            blocked: row.try_get(9)?,
            held: row.try_get(10)?,
            turn_at: row.try_get(11)?,
            rests: row.try_get(12)?,
        })
    }
}

/// Lists lanes that wait, at most `limit`: blocked ones first, then those that failed most often, then the longest waiting.
///
/// # Errors
/// When the database fails.
pub fn list(deployment: &Deployment, limit: i64) -> Result<Vec<Lane>> {
    let statement = format!(
        "WITH turn AS (
            SELECT * FROM publish_queue ORDER BY blocked DESC, attempts DESC, turn_at, user_id LIMIT $1
        ) {LANES}"
    );
    let rows = deployment.connect()?.query(&statement, &[&limit])?;
    rows.iter().map(Lane::read).collect()
}

/// A user's lane; `None` where nothing of it waits.
///
/// # Errors
/// When the database fails.
pub fn find(deployment: &Deployment, user: &str) -> Result<Option<Lane>> {
    let statement =
        format!("WITH turn AS (SELECT * FROM publish_queue WHERE user_id = $1) {LANES}");
    let row = deployment.connect()?.query_opt(&statement, &[&user])?;
    row.as_ref().map(Lane::read).transpose()
}

/// Lets a user's turn come now, however long the lane would rest. The next write or run of the relay publishes it.
///
/// # Errors
/// When nothing of the user waits, somebody is publishing it just now, or the database fails.
pub fn retry(deployment: &Deployment, user: &str) -> Result<()> {
    let answer = call(deployment, "SELECT retry_lane($1)::text", &[&user])?;
    match outcome(&answer) {
        "retried" => Ok(()),
        "held" => bail!("somebody is publishing {user}'s next event just now"),
        "published" => bail!("no event of {user} waits"),
        other => bail!("an unknown outcome: {other}"),
    }
}

/// Moves a user's lane past the event of that number. It stays stored, and is a dead letter then.
///
/// # Errors
/// When it is not the lane's next one or does not block the lane, somebody is publishing it just now, or the database
/// fails. Nothing has changed then.
pub fn skip(deployment: &Deployment, user: &str, number: i64) -> Result<Skipped> {
    let statement = "SELECT skip_event($1, $2)::text";
    let answer = call(deployment, statement, &[&user, &number])?;
    match (outcome(&answer), answer["next"].as_i64()) {
        ("skipped", _) => Ok(Skipped {
            letter: answer["letter"].as_str().map(str::to_owned),
            left: answer["left"]
                .as_i64()
                .context("how many are left is not said")?,
        }),
        ("not_next", Some(next)) => {
            bail!("{user}'s next event is number {next}, not {number}; nothing was skipped")
        }
        ("not_next", None) => bail!("no event of {user} waits; nothing was skipped"),
        ("not_blocked", _) => bail!(
            "{user}'s event {number} does not block the lane: it was neither refused for good nor is it missing; nothing \
             was skipped"
        ),
        ("held", _) => bail!(
            "somebody is publishing {user}'s event {number} just now; nothing was skipped, try again in some seconds"
        ),
        (other, _) => bail!("an unknown outcome: {other}"),
    }
}

/// Raises the numbers of all lanes, of new ones too, and of unpublished events, so that none is given again that was given in
/// a time which a restore has undone. To be called before the service starts.
///
/// # Errors
/// When the database fails, or is busy with the service.
pub fn raise(deployment: &Deployment, by: i64) -> Result<Raised> {
    let answer = call(deployment, "SELECT raise_lanes($1)::text", &[&by])?;
    let number = |name: &str| {
        let number = answer[name].as_i64();
        number.with_context(|| format!("{name} is not said"))
    };
    Ok(Raised {
        lanes: number("lanes")?,
        events: number("events")?,
        start: number("start")?,
    })
}

fn call(
    deployment: &Deployment,
    statement: &str,
    parameters: &[&(dyn postgres::types::ToSql + Sync)],
) -> Result<Value> {
    let row = deployment.connect()?.query_one(statement, parameters)?;
    let text: &str = row.try_get(0)?;
    serde_json::from_str(text).context("an answer that is not JSON")
}

fn outcome(answer: &Value) -> &str {
    answer["outcome"].as_str().unwrap_or_default()
}
