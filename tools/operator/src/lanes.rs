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

impl Lane {
    /// Reads what the database's `lane_json` tells.
    fn read(lane: &Value) -> Result<Self> {
        let number = |value: &Value| value.as_i64().context("a number is not said");
        let text = |value: &Value| {
            value
                .as_str()
                .map(str::to_owned)
                .context("a text is not said")
        };
        let event = &lane["event"];
        let event = match event {
            Value::Null => None,
            event => Some(NextEvent {
                id: text(&event["id"])?,
                event_type: text(&event["type"])?,
                task: text(&event["task_id"])?,
                time: text(&event["time"])?,
                bytes: i32::try_from(number(&event["bytes"])?)?,
            }),
        };
        Ok(Self {
            user: text(&lane["user_id"])?,
            behind: number(&lane["events"])?,
            next: number(&lane["sequence"])?,
            event,
            attempts: i32::try_from(number(&lane["attempts"])?)?,
            blocked: lane["state"] == "blocked",
            held: lane["held"] == true,
            turn_at: lane["turn_at"].as_str().unwrap_or("never").to_owned(),
            rests: lane["rests"] == true,
        })
    }
}

/// Lists lanes that wait, at most `limit`: blocked ones first, then those that failed most often, then the longest waiting. Reads
/// the whole queue.
///
/// # Errors
/// When the database fails.
pub fn list(deployment: &Deployment, limit: i64) -> Result<Vec<Lane>> {
    let statement = "
        SELECT lane_json(turn)::text
        FROM publish_queue AS turn
        ORDER BY turn.blocked DESC, turn.attempts DESC, turn.turn_at, turn.user_id
        LIMIT $1";
    let rows = deployment.connect()?.query(statement, &[&limit])?;
    rows.iter().map(|row| Lane::read(&json(row)?)).collect()
}

/// A user's lane; `None` where nothing of it waits.
///
/// # Errors
/// When the database fails.
pub fn find(deployment: &Deployment, user: &str) -> Result<Option<Lane>> {
    let statement = "SELECT coalesce(read_lane($1)::text, 'null')";
    match call(deployment, statement, &[&user])? {
        Value::Null => Ok(None),
        lane => Lane::read(&lane).map(Some),
    }
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
    json(&deployment.connect()?.query_one(statement, parameters)?)
}

fn json(row: &Row) -> Result<Value> {
    let text: &str = row.try_get(0)?;
    serde_json::from_str(text).context("an answer that is not JSON")
}

fn outcome(answer: &Value) -> &str {
    answer["outcome"].as_str().unwrap_or_default()
}
