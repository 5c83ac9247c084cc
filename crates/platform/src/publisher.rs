//! Publishing, in batches and in the order of each user's events.
//!
//! At most one instance publishes through a sidecar at a time. It takes up to 100 lanes, sends the next event of each
//! in one call for each topic, then records the results and takes the next batch, both in one statement, until the
//! database says that it is not the publisher any more. If an event fails, only its lane rests. If the sidecar as a
//! whole fails, nobody publishes through it for a while. So every event appears at least once, and first appearances of
//! a user's events are in order.

use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::Call;
use crate::database::{Database, DatabaseError};
use crate::log::{self, Level};
use crate::outbox::{OutboundEvent, Publishing};
use crate::sidecar::{Fate, Sidecar};

/// How many lanes a publisher takes at once.
const MOST_LANES: u32 = 100;

/// How long a publisher without events waits before it asks again: somebody is about to commit.
const PAUSE: Duration = Duration::from_millis(2);

/// A batch of at least this many events means that the service is busy.
const BUSY: usize = 4;

/// The least time between two turns of a busy service. A turn costs as much as a dozen of its events, so fewer and
/// larger batches leave more of the machine to requests.
const BUSY_TURN: Duration = Duration::from_millis(20);

/// Publishes for one component.
pub struct Publisher<'a> {
    /// Where the events are.
    pub database: &'a Database,
    /// What publishes them.
    pub sidecar: &'a Sidecar,
    /// The component's name, for logs.
    pub component: &'static str,
}

/// The database's answer to a settled turn: the next batch, if this instance is still the publisher.
#[derive(Deserialize)]
struct NextBatch {
    publisher: bool,
    events: Vec<OutboundEvent>,
    /// Users whose next event is missing.
    missing: Option<Vec<String>>,
}

/// Publishes, if a statement of `component` made this instance the publisher.
///
/// Call it after the answer is sent. If it fails, other publishers or the relay publish the events.
pub async fn publish(component: &'static str, publishing: Option<Publishing>) {
    let Some(publishing) = publishing else {
        return;
    };
    match (
        Database::from_configuration(),
        Sidecar::from_configuration(),
    ) {
        (Ok(database), Ok(sidecar)) => {
            let publisher = Publisher {
                database: &database,
                sidecar: &sidecar,
                component,
            };
            publisher.publish(publishing, None).await;
        }
        (Err(error), _) | (_, Err(error)) => {
            let fields = json!({"outcome": "left_to_relay", "error": error.to_string()});
            log::line(Level::Error, component, "publishing impossible", fields);
        }
    }
}

impl Publisher<'_> {
    /// Becomes the publisher of the sidecar, if there is none.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn take_over(&self) -> Result<Option<Publishing>, DatabaseError> {
        let token = Uuid::now_v7();
        let call = Call::of("become_publisher")
            .text("sidecar_name", self.sidecar.name())
            .uuid("new_token", token);
        let first = Vec::new();
        Ok(self
            .database
            .call::<bool>(call)?
            .then_some(Publishing { token, first }))
    }

    /// Publishes until this instance is not the publisher any more; after `until` it stops by itself. Returns the
    /// number of events published. Handles failures itself.
    pub async fn publish(&self, publishing: Publishing, until: Option<Instant>) -> usize {
        let token = publishing.token;
        let mut events = publishing.first;
        let mut published = 0;
        let mut turn_began = Instant::now();
        loop {
            let fates = self.sidecar.publish(&events).await;
            let outcomes = Outcomes::of(&fates);
            published += outcomes.published;
            self.log_failures(&events, &fates);
            let results: Vec<Value> = events
                .iter()
                .zip(&outcomes.each)
                .map(|(event, outcome)| {
                    json!({"user_id": event.user_id, "sequence": event.sequence, "outcome": outcome})
                })
                .collect();
            if events.len() >= BUSY {
                thread::sleep(BUSY_TURN.saturating_sub(turn_began.elapsed()));
            }
            turn_began = Instant::now();
            let settled = if outcomes.sidecar_failed {
                self.fail(token, &results).map(|()| None)
            } else {
                let is_over = until.is_some_and(|until| Instant::now() >= until);
                let most = if is_over { 0 } else { MOST_LANES };
                self.turn(token, &results, most).map(Some)
            };
            let turn = match settled {
                Ok(Some(turn)) => turn,
                Ok(None) => return published,
                Err(error) => {
                    // The lanes and the publisher's place become free when their leases end.
                    let fields = json!({"outcome": "left_to_relay", "error": error.to_string()});
                    log::line(
                        Level::Warn,
                        self.component,
                        "publishing interrupted",
                        fields,
                    );
                    return published;
                }
            };
            for user in turn.missing.iter().flatten() {
                let fields = json!({"user_id": user, "outcome": "blocked"});
                log::line(
                    Level::Error,
                    self.component,
                    "event missing from lane",
                    fields,
                );
            }
            if !turn.publisher {
                return published;
            }
            events = turn.events;
            if events.is_empty() {
                thread::sleep(PAUSE);
            }
        }
    }

    fn turn(&self, token: Uuid, results: &[Value], most: u32) -> Result<NextBatch, DatabaseError> {
        let call = Call::of("publish_turn")
            .text("sidecar_name", self.sidecar.name())
            .uuid("own_token", token)
            .json("results", Value::from(results).to_string())
            .integer("most", most);
        self.database.call(call)
    }

    fn fail(&self, token: Uuid, results: &[Value]) -> Result<(), DatabaseError> {
        let call = Call::of("publishing_failed")
            .text("sidecar_name", self.sidecar.name())
            .uuid("own_token", token)
            .json("results", Value::from(results).to_string());
        self.database.call(call)
    }

    /// Success is not logged: a line of output costs more than an event.
    fn log_failures(&self, events: &[OutboundEvent], fates: &[Fate]) {
        let failed: Vec<_> = events
            .iter()
            .zip(fates)
            .filter_map(|(event, fate)| match fate {
                Fate::Failed(reason) | Fate::Refused(reason) | Fate::Unknown(reason) => {
                    Some((event, reason))
                }
                _ => None,
            })
            .collect();
        if let Some((event, reason)) = failed.first() {
            let fields = json!({
                "user_id": event.user_id,
                "sequence": event.sequence,
                "count": failed.len(),
                "batch": events.len(),
                "outcome": "left_for_later",
                "error": reason,
            });
            log::line(Level::Warn, self.component, "publishing failed", fields);
        }
        for (event, fate) in events.iter().zip(fates) {
            if let Fate::Rejected(reason) = fate {
                let fields = json!({
                    "user_id": event.user_id,
                    "sequence": event.sequence,
                    "outcome": "blocked",
                    "error": reason,
                });
                log::line(Level::Error, self.component, "event", fields);
            }
        }
    }
}

/// The results of a batch.
struct Outcomes {
    each: Vec<&'static str>,
    published: usize,
    /// Nobody may publish through the sidecar for a while.
    sidecar_failed: bool,
}

impl Outcomes {
    /// A sidecar that did not answer, or published nothing of a batch, has failed as a whole. Nobody knows which event
    /// is to blame, so all lanes keep their turn. Only if the batch was a single event does its lane rest; otherwise
    /// the same lane would be the next probe. It is different if the broker itself refused each event: then the broker
    /// works for others, and only these lanes rest. At low load a batch often holds only lanes of a partition that
    /// cannot be written.
    fn of(fates: &[Fate]) -> Self {
        let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        let published = count(|fate| matches!(fate, Fate::Published));
        let failed = count(|fate| matches!(fate, Fate::Failed(_)));
        let unknown = count(|fate| matches!(fate, Fate::Unknown(_)));
        let sidecar_failed = unknown > 0 || (published == 0 && failed > 0);
        let left = if sidecar_failed && fates.len() > 1 {
            "unsent"
        } else {
            "failed"
        };
        let outcome = |fate: &Fate| match fate {
            Fate::Published => "published",
            Fate::Rejected(_) => "rejected",
            Fate::Refused(_) => "failed",
            Fate::Failed(_) | Fate::Unknown(_) => left,
        };
        Self {
            each: fates.iter().map(outcome).collect(),
            published,
            sidecar_failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(fates: &[Fate]) -> (Vec<&'static str>, bool) {
        let outcomes = Outcomes::of(fates);
        (outcomes.each, outcomes.sidecar_failed)
    }

    #[test]
    fn a_lane_that_fails_among_others_rests_alone() {
        let failed = || Fate::Failed("why".to_owned());
        let rejected = || Fate::Rejected("why".to_owned());
        let unknown = || Fate::Unknown("why".to_owned());
        let refused = || Fate::Refused("why".to_owned());
        assert_eq!(outcomes(&[]), (vec![], false));
        assert_eq!(
            outcomes(&[Fate::Published, failed(), rejected()]),
            (vec!["published", "failed", "rejected"], false)
        );
        assert_eq!(outcomes(&[rejected()]), (vec!["rejected"], false));
        assert_eq!(
            outcomes(&[failed(), failed()]),
            (vec!["unsent", "unsent"], true)
        );
        assert_eq!(outcomes(&[failed()]), (vec!["failed"], true));
        assert_eq!(
            outcomes(&[refused(), refused()]),
            (vec!["failed", "failed"], false)
        );
        assert_eq!(
            outcomes(&[refused(), failed()]),
            (vec!["failed", "unsent"], true)
        );
        assert_eq!(outcomes(&[unknown()]), (vec!["failed"], true));
        assert_eq!(
            outcomes(&[Fate::Published, unknown(), rejected()]),
            (vec!["published", "unsent", "rejected"], true)
        );
    }
}
