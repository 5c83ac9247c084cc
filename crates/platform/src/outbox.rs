//! The end of every statement that emits an event.
//!
//! Such a statement has CTEs, of which one is named `change` and has at most one row, with the columns `user_id`, `task_id`,
//! `type`, `topic` and `data`. Its answer contains [`EMITTED`]: that takes the next number of the user's lane under the
//! row's lock, appends the event with that number, and takes the lane's lease where it is free and the breaker is closed.
//! No row in `change`: no number taken, no event.
//!
//! Parameters 1 to 5 belong to it ([`Outbox::parameters`]); a statement's own begin at 6.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use spin_sdk::pg4::ParameterValue;
use uuid::Uuid;

use crate::database::{optional_text, text};

/// For how long a lease is taken: longer than a publish can take ([`crate::sidecar::CALL_TIMEOUT`]). The
/// function `lease_length` in the database says the same.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// The expression that appends the event of `change` and tells what happened: an [`Emitted`] as JSON, or NULL.
pub const EMITTED: &str = "(
    SELECT append_event(
        $1::text::uuid, $2, $3, $4::text::uuid, $5,
        change.user_id, change.task_id, change.type, change.topic, change.data
    )
    FROM change
)";

/// An event to be published.
#[derive(Debug, Deserialize)]
pub struct OutboundEvent {
    /// Its user, the partition key.
    pub user_id: String,
    /// Its number in the user's lane.
    pub sequence: i64,
    /// Which topic it goes to.
    pub topic: Topic,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// The CloudEvent, in structured JSON.
    pub event: Box<RawValue>,
}

/// A topic by its role; its name is a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// `task.*` events.
    Tasks,
    /// `reminder.*` events.
    Reminders,
}

/// What a statement emitted.
#[derive(Debug, Deserialize)]
pub struct Emitted {
    /// The event.
    pub outbound: OutboundEvent,
    /// Up to which number the user's events were published when it was numbered.
    pub published: i64,
    /// Whether the statement took the lane's lease.
    pub leased: bool,
}

/// What the end of one statement needs to know.
pub struct Outbox<'a> {
    /// The CloudEvents attribute `source`, such as `/todo/task-api`.
    pub source: &'a str,
    /// The trace that the event belongs to.
    pub traceparent: Option<&'a str>,
    event_id: Uuid,
    lease: Lease,
}

/// The right to publish a user's events, for [`LEASE`] from the moment that it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub(crate) token: Uuid,
    pub(crate) asked: Instant,
}

impl Lease {
    /// A lease with a fresh token, to be asked for now.
    pub(crate) fn ask() -> Self {
        Self {
            token: Uuid::now_v7(),
            asked: Instant::now(),
        }
    }
}

impl<'a> Outbox<'a> {
    /// For a statement that is about to be run.
    pub fn new(source: &'a str, traceparent: Option<&'a str>) -> Self {
        Self {
            source,
            traceparent,
            event_id: Uuid::now_v7(),
            lease: Lease::ask(),
        }
    }

    /// The id that the event will have.
    pub fn event_id(&self) -> Uuid {
        self.event_id
    }

    /// The lease that the statement asks for.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// The statement's parameters: the end's, then its own. `sidecar` names the one that would publish.
    pub fn parameters(
        &self,
        sidecar: &str,
        own: impl IntoIterator<Item = ParameterValue>,
    ) -> Vec<ParameterValue> {
        let tail = [
            text(self.event_id),
            text(self.source),
            optional_text(self.traceparent),
            text(self.lease.token),
            text(sidecar),
        ];
        tail.into_iter().chain(own).collect()
    }
}
