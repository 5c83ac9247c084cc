//! A stream of changes: server-sent events.
//!
//! Each stream is an instance, and a host has about a thousand instances for all its work. So the number of streams is
//! bounded for each user and each host, and a stream ends by itself. The client connects again and goes on after its
//! last number. Between two looks at the database a stream holds no connection.

use std::time::{Duration, Instant};

use domain::change_feed::{After, ChangesQuery, HEARTBEAT, Pace, frame, opening};
use domain::user_id::UserId;
use futures::Sink;
use platform::call::Call;
use platform::configuration;
use platform::database::Database;
use platform::event_stream::{self, EventStream};
use platform::http::pause;
use platform::problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;
use spin_sdk::http::ResponseOutparam;
use uuid::Uuid;

use crate::gone;
use crate::pages::{Page, beginning, read};

/// How often a stream sends at least a comment: only a write shows whether the client is still there.
const HEARTBEAT_TIME: Duration = Duration::from_secs(5);

/// How much longer than its time a stream can last: one last look, and a client that does not read.
const OVERTIME: Duration = Duration::from_secs(20);

type Events = Vec<Box<RawValue>>;

/// A stream that has its place.
pub(crate) struct Stream {
    database: Database,
    id: Uuid,
    user: UserId,
    limit: u16,
    page: Page<Events>,
    pace: Pace,
    lifetime: Duration,
}

/// How a stream ended.
pub(crate) struct Ended {
    /// How many events were sent.
    pub(crate) events: usize,
    /// Why the database did not answer, the last time that it did not.
    pub(crate) cause: Option<String>,
}

/// What `open_stream` returns.
#[derive(Deserialize)]
#[serde(try_from = "OpenedRow")]
enum Opened {
    Place {
        page: Page<Events>,
        /// How many streams the host has, including this one.
        streams: u32,
    },
    UserFull {
        retry_after: u64,
    },
    Full {
        retry_after: u64,
    },
    Gone,
}

/// The JSON form. Serde cannot read raw JSON into an enum with a tag.
#[derive(Deserialize)]
struct OpenedRow {
    outcome: Outcome,
    streams: Option<u32>,
    page: Option<Page<Events>>,
    retry_after: Option<u64>,
}

impl TryFrom<OpenedRow> for Opened {
    type Error = &'static str;

    fn try_from(row: OpenedRow) -> Result<Self, Self::Error> {
        let retry_after = row.retry_after.unwrap_or(1);
        Ok(match row.outcome {
            Outcome::Opened => Self::Place {
                page: row.page.ok_or("a stream without a page")?,
                streams: row.streams.unwrap_or(1),
            },
            Outcome::UserFull => Self::UserFull { retry_after },
            Outcome::Full => Self::Full { retry_after },
            Outcome::Gone => Self::Gone,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Opened,
    UserFull,
    Full,
    Gone,
}

impl Stream {
    /// Takes a place for the stream and reads its first page.
    ///
    /// # Errors
    ///
    /// 410 when the changes after the number are gone, 429 and 503 when there is no place.
    pub(crate) fn open(user: &UserId, query: ChangesQuery) -> Result<Self, Problem> {
        let id = Uuid::now_v7();
        let seconds = configuration::whole_number("stream_seconds")?;
        // Streams that began together must not all end together.
        let share = 192 + u32::from(id.as_bytes()[15]) / 4;
        let lifetime = Duration::from_secs(seconds.unsigned_abs()) * share / 256;
        let held = seconds.saturating_add(OVERTIME.as_secs().cast_signed());
        let (after, latest) = beginning(query.after);
        let call = Call::of("open_stream")
            .uuid("stream_id", id)
            .text("user_id", user.as_str())
            .text("host", configuration::variable("sidecar_name")?)
            .integer("seconds", held)
            .integer(
                "most_of_user",
                configuration::whole_number("streams_of_user")?,
            )
            .integer(
                "most_of_host",
                configuration::whole_number("streams_of_host")?,
            )
            .optional_bigint("after", after)
            .boolean("latest", latest)
            .integer("most", query.limit);
        let database = Database::from_configuration()?;
        match database.call(call)? {
            Opened::Place { page, streams } => Ok(Self {
                database,
                id,
                user: user.clone(),
                limit: query.limit,
                page,
                pace: Pace::of(streams),
                lifetime,
            }),
            Opened::UserFull { retry_after } => Err(Problem::too_many_streams(retry_after)),
            Opened::Full { retry_after } => Err(Problem::no_stream_free(retry_after)),
            Opened::Gone => Err(gone(user)),
        }
    }

    /// Sends changes as they come, until the stream's time is over, the client is gone, or the next change is missing.
    pub(crate) async fn send(mut self, out: ResponseOutparam) -> Ended {
        let mut ended = Ended {
            events: 0,
            cause: None,
        };
        let mut body = event_stream::begin(out);
        self.follow(&mut body, &mut ended).await;
        // Ends the response first, so that the client need not wait for the database.
        drop(body);
        // If this fails, the place becomes free when its time is over.
        let close = Call::of("close_stream").uuid("stream_id", self.id);
        if let Err(error) = self.database.call::<bool>(close) {
            ended.cause = Some(error.to_string());
        }
        ended
    }

    async fn follow<S: Sink<Vec<u8>> + Unpin>(
        &mut self,
        body: &mut EventStream<S>,
        ended: &mut Ended,
    ) {
        let end = Instant::now() + self.lifetime;
        let before = self.page.last - self.page.events.len() as i64;
        let mut text = opening(before);
        loop {
            // Numbers have no gaps within a page.
            let first = self.page.last - self.page.events.len() as i64 + 1;
            for (number, event) in (first..).zip(&self.page.events) {
                text.push_str(&frame(number, event.get()));
            }
            if !text.is_empty() {
                if !body.send(std::mem::take(&mut text)).await {
                    return;
                }
                ended.events += self.page.events.len();
                self.page.events.clear();
            }
            let mut heartbeat = Instant::now() + HEARTBEAT_TIME;
            // A stream must end in time, however many changes there are.
            while Instant::now() < end {
                if !self.page.more {
                    let wait = self.pace.wait();
                    pause(wait.min(end.saturating_duration_since(Instant::now()))).await;
                }
                match self.look() {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(cause) => ended.cause = Some(cause),
                }
                if self.page.gone {
                    return;
                }
                if Instant::now() >= heartbeat {
                    if !body.send(HEARTBEAT.to_owned()).await {
                        return;
                    }
                    heartbeat = Instant::now() + HEARTBEAT_TIME;
                }
            }
            if self.page.events.is_empty() {
                return;
            }
        }
    }

    /// Reads new changes. Returns whether there were any. Waits through an outage of the database: clients that connect
    /// again would only make it worse.
    fn look(&mut self) -> Result<bool, String> {
        let call = read(&self.user, After::Number(self.page.last), self.limit);
        match self.database.call::<Page<Events>>(call) {
            Ok(page) => {
                self.page = page;
                let is_new = !self.page.events.is_empty();
                if is_new {
                    self.pace.quicken();
                }
                Ok(is_new)
            }
            Err(error) => {
                // Do not try again at once.
                self.page.more = false;
                Err(error.to_string())
            }
        }
    }
}
