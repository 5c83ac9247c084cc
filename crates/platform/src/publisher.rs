//! Publishing a user's events, in the order of their numbers.
//!
//! One holder of a lane's lease at a time publishes `published + 1 … head`, each event only after the broker has
//! acknowledged the one before, and stops at the first failure. Acknowledging, renewing and releasing require the
//! lease's token; where it is another's by now, the holder stops. So every event appears at least once, and first
//! appearances of a user's events are in order.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use crate::breaker::{Breaker, Dependency};
use crate::database::{Database, DatabaseError, number, text};
use crate::log::{self, Level};
use crate::outbox::{Emitted, LEASE, Lease, OutboundEvent};
use crate::sidecar::{CALL_TIMEOUT, Sidecar, SidecarError};
use spin_sdk::pg4::ParameterValue;

/// How many events one holder publishes before it leaves the rest.
const MOST_EVENTS: usize = 100;

/// For how long one holder publishes before it leaves the rest.
const MOST_TIME: Duration = Duration::from_secs(2);

/// How many events are read at once.
const BATCH: i64 = 25;

/// Publishes events for one component.
pub struct Publisher<'a> {
    /// Where the events are.
    pub database: &'a Database,
    /// What publishes them.
    pub sidecar: &'a Sidecar,
    /// The component's name, for logs.
    pub component: &'static str,
    /// When it stops taking up a further event; what is left then is the relay's.
    pub until: Instant,
}

/// Publishes what a statement of `component` emitted, and what follows it in the lane.
///
/// To be called after the answer is sent. What fails here is left to the relay.
pub async fn publish_emitted(component: &'static str, emitted: Emitted, lease: Lease) {
    match (
        Database::from_configuration(),
        Sidecar::from_configuration(),
    ) {
        (Ok(database), Ok(sidecar)) => {
            let until = Instant::now() + MOST_TIME;
            let publisher = Publisher {
                database: &database,
                sidecar: &sidecar,
                component,
                until,
            };
            publisher.publish_emitted(emitted, lease).await;
        }
        (Err(error), _) | (_, Err(error)) => {
            let fields = json!({"outcome": "left_to_relay", "error": error.to_string()});
            log::line(Level::Error, component, "publishing impossible", fields);
        }
    }
}

/// How a turn at publishing a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is left, or another holder has the lane, or this one's share is done.
    Done,
    /// The sidecar or the broker failed.
    Failed,
}

/// What the holder of a lease learns when it acknowledges.
#[derive(Deserialize)]
struct Holding {
    held: bool,
    /// Where the lane stands, if held.
    published: Option<i64>,
    events: Vec<OutboundEvent>,
}

/// What is to become of a lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Keep it while the lane has more.
    Continue,
    /// Give it back.
    Release,
    /// Give it back, and let the lane rest: its next event was refused for good.
    Block,
}

impl Publisher<'_> {
    /// Publishes what a statement emitted, if the statement took the lease, and what follows it in the lane.
    ///
    /// To be called after the answer is sent. Failures are dealt with here: what stays unpublished is the relay's.
    pub async fn publish_emitted(&self, emitted: Emitted, lease: Lease) {
        if !emitted.leased {
            return;
        }
        let user = emitted.outbound.user_id.clone();
        // Without a gap the event is the lane's next; otherwise earlier ones come first and must be read.
        let is_next = emitted.published == emitted.outbound.sequence - 1;
        let first = if is_next {
            vec![emitted.outbound]
        } else {
            Vec::new()
        };
        self.report(
            &user,
            self.publish_lane(&user, lease, emitted.published, first)
                .await,
        );
    }

    /// Takes the lease of a user's lane, if it is free, and publishes what is left there.
    pub async fn publish_rest(&self, user: &str) -> Turn {
        let lease = Lease::ask();
        let taken: Result<Holding, _> = self.database.query(
            "SELECT take_lane($1, $2::text::uuid, $3)::text",
            &[text(user), text(lease.token), number(BATCH)],
        );
        let outcome = match taken {
            Ok(Holding {
                held: true,
                published: Some(published),
                events,
            }) => self.publish_lane(user, lease, published, events).await,
            Ok(_) => Ok(Turn::Done),
            Err(error) => Err(error),
        };
        self.report(user, outcome)
    }

    fn report(&self, user: &str, outcome: Result<Turn, DatabaseError>) -> Turn {
        outcome.unwrap_or_else(|error| {
            // The lease runs out by itself.
            let fields =
                json!({"user_id": user, "outcome": "left_to_relay", "error": error.to_string()});
            log::line(
                Level::Warn,
                self.component,
                "publishing interrupted",
                fields,
            );
            Turn::Failed
        })
    }

    /// Publishes a lane from `acknowledged` on, beginning with `events`, until it is empty or the holder's share done.
    async fn publish_lane(
        &self,
        user: &str,
        mut lease: Lease,
        mut acknowledged: i64,
        mut events: Vec<OutboundEvent>,
    ) -> Result<Turn, DatabaseError> {
        let mut count = 0;
        let mut published = acknowledged;
        loop {
            let mut turn = None;
            for event in events {
                if Instant::now() >= self.until {
                    break;
                }
                if event.sequence != published + 1 {
                    let fields =
                        json!({"user_id": user, "sequence": published + 1, "outcome": "blocked"});
                    log::line(
                        Level::Error,
                        self.component,
                        "event missing from lane",
                        fields,
                    );
                    turn = Some((Turn::Done, After::Block));
                    break;
                }
                if lease.asked.elapsed() + CALL_TIMEOUT >= LEASE {
                    let renewed = Instant::now();
                    if !self
                        .acknowledge(user, lease, acknowledged, published, After::Continue)?
                        .held
                    {
                        return Ok(Turn::Done);
                    }
                    (lease.asked, acknowledged) = (renewed, published);
                }
                let called = Instant::now();
                let result = self.sidecar.publish(&event).await;
                self.log_event(&event, &result, called.elapsed());
                match result {
                    Ok(()) => published = event.sequence,
                    Err(SidecarError::Failed(_)) => {
                        self.breaker().open()?;
                        turn = Some((Turn::Failed, After::Release));
                        break;
                    }
                    Err(SidecarError::Rejected(_)) => {
                        turn = Some((Turn::Done, After::Block));
                        break;
                    }
                }
                count += 1;
            }
            let enough = count >= MOST_EVENTS || Instant::now() >= self.until;
            let (end, after) = match turn {
                Some((turn, after)) => (Some(turn), after),
                None if enough => (Some(Turn::Done), After::Release),
                None => (None, After::Continue),
            };
            let renewed = Instant::now();
            let holding = self.acknowledge(user, lease, acknowledged, published, after)?;
            match end {
                Some(turn) => return Ok(turn),
                None if !holding.held => return Ok(Turn::Done),
                None => (lease.asked, acknowledged) = (renewed, published),
            }
            events = holding.events;
        }
    }

    /// The breaker of the broker.
    pub fn breaker(&self) -> Breaker<'_> {
        Breaker {
            database: self.database,
            sidecar: self.sidecar.name(),
            dependency: Dependency::Pubsub,
        }
    }

    /// Records that the events after `acknowledged` up to `published` are at the broker, and counts them for analytics.
    /// A lane with nothing left is released whatever `after` says; otherwise the lease is renewed, and the next events
    /// are read.
    ///
    /// `acknowledged` is where the lane stood after the holder's last statement. Only the holder moves it, so where the
    /// lane stands elsewhere, the lease is another's.
    fn acknowledge(
        &self,
        user: &str,
        lease: Lease,
        acknowledged: i64,
        published: i64,
        after: After,
    ) -> Result<Holding, DatabaseError> {
        self.database.query(
            "SELECT acknowledge_lane($1, $2::text::uuid, $3, $4, $5, $6, $7)::text",
            &[
                text(user),
                text(lease.token),
                number(acknowledged),
                number(published),
                ParameterValue::Boolean(after != After::Continue),
                ParameterValue::Boolean(after == After::Block),
                number(BATCH),
            ],
        )
    }

    fn log_event(
        &self,
        event: &OutboundEvent,
        result: &Result<(), SidecarError>,
        duration: Duration,
    ) {
        #[derive(Deserialize)]
        struct Attributes {
            id: String,
            #[serde(rename = "type")]
            event_type: String,
            subject: String,
        }
        let Ok(attributes) = serde_json::from_str::<Attributes>(event.event.get()) else {
            return;
        };
        let (level, outcome) = match result {
            Ok(()) => (Level::Debug, "published"),
            Err(SidecarError::Failed(_)) => (Level::Warn, "left_to_relay"),
            Err(SidecarError::Rejected(_)) => (Level::Error, "blocked"),
        };
        let fields = json!({
            "event_id": attributes.id,
            "event_type": attributes.event_type,
            "task_id": attributes.subject,
            "user_id": event.user_id,
            "sequence": event.sequence,
            "outcome": outcome,
            "error": result.as_ref().err().map(ToString::to_string),
            "duration_ms": duration.as_millis() as u64,
        });
        log::line(level, self.component, "event", fields);
    }
}
