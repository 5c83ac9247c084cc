//! Events on their way out of the database.
//!
//! A database function that emits an event takes an [`EventDraft`] and returns what it [`Emitted`]. It takes the next
//! number of the user's lane, appends the event and queues the lane. If the sidecar has no publisher, the function
//! finally makes this instance the publisher.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

/// An event to be published.
#[derive(Debug, Clone, Deserialize)]
pub struct OutboundEvent {
    /// Its user, the partition key.
    pub user_id: String,
    /// Its number in the user's lane.
    pub sequence: i64,
    /// Which topic it goes to.
    pub topic: Topic,
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
    /// Whether this instance is its sidecar's publisher now.
    publisher: bool,
    /// The event, if it is the next one of its lane and this instance took the lane for it.
    event: Option<OutboundEvent>,
}

/// What an instance needs to begin publishing, after it became the publisher.
#[derive(Debug)]
pub struct Publishing {
    pub(crate) token: Uuid,
    pub(crate) first: Vec<OutboundEvent>,
}

/// What a statement needs for the event that it emits, besides the change itself.
pub struct EventDraft<'a> {
    sidecar: &'a str,
    traceparent: Option<&'a str>,
    causation: Option<Uuid>,
    event_id: Uuid,
    token: Option<Uuid>,
}

impl<'a> EventDraft<'a> {
    /// A draft for a statement that is about to run. `sidecar` names the sidecar that would publish the event.
    pub fn new(sidecar: &'a str) -> Self {
        Self {
            sidecar,
            traceparent: None,
            causation: None,
            event_id: Uuid::now_v7(),
            token: Some(Uuid::now_v7()),
        }
    }

    /// Adds the trace that the event belongs to.
    #[must_use]
    pub fn traced(mut self, traceparent: Option<&'a str>) -> Self {
        self.traceparent = traceparent;
        self
    }

    /// Adds the event that caused this one.
    #[must_use]
    pub fn caused_by(mut self, event: Uuid) -> Self {
        self.causation = Some(event);
        self
    }

    /// A draft whose event this instance will not publish itself: the next publisher takes it.
    #[must_use]
    pub fn queued(mut self) -> Self {
        self.token = None;
        self
    }

    /// The argument `outbox` of a function.
    pub fn json(&self) -> String {
        json!({
            "event_id": self.event_id,
            "traceparent": self.traceparent,
            "causation_id": self.causation,
            "sidecar": self.sidecar,
            "token": self.token,
        })
        .to_string()
    }

    /// What to begin publishing with, if the statement made this instance the publisher; otherwise `None`.
    pub fn publishing(&self, emitted: Emitted) -> Option<Publishing> {
        let token = self.token.filter(|_| emitted.publisher)?;
        let first = emitted.event.into_iter().collect();
        Some(Publishing { token, first })
    }
}
