//! How a handler answers the sidecar.
//!
//! Dapr reads the status code and, for events, the word in `status` (Dapr documentation, "Pub/sub API reference"): any
//! word that it does not know means retry, so a handler gives only these answers.

use std::time::Instant;

use serde_json::{Value, json};
use spin_sdk::http::ResponseOutparam;

use crate::configuration::ConfigurationError;
use crate::database::DatabaseError;
use crate::http::{BODY_LIMIT, Request, Response};
use crate::log::{self, Level};

/// How a handler dealt with a delivery, in Dapr's words for events; a job has the same answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventStatus {
    /// Handled, now or earlier: 200, never delivered again.
    Success,
    /// It can never be handled: 200 with `DROP`, which moves an event to the dead-letter topic unretried.
    Drop(String),
    /// It may be handled later: 500, which Dapr retries.
    Retry(String),
}

impl EventStatus {
    fn response(&self) -> Response {
        match self {
            Self::Success => Response::json(200, r#"{"status":"SUCCESS"}"#),
            Self::Drop(_) => Response::json(200, r#"{"status":"DROP"}"#),
            Self::Retry(_) => Response::json(500, r#"{"status":"RETRY"}"#),
        }
    }

    /// Answers the sidecar, then logs how the delivery went. `fields` describe the delivery.
    pub async fn send(
        &self,
        out: ResponseOutparam,
        component: &str,
        mut fields: Value,
        start: Instant,
    ) {
        self.response().send(out).await;
        let (level, outcome, reason) = match self {
            Self::Success => (Level::Debug, "done", None),
            Self::Drop(reason) => (Level::Warn, "dropped", Some(reason)),
            Self::Retry(reason) => (Level::Warn, "retried", Some(reason)),
        };
        fields["outcome"] = json!(outcome);
        if let Some(reason) = reason {
            fields["error"] = json!(reason);
        }
        fields["duration_ms"] = json!(start.elapsed().as_millis() as u64);
        log::line(level, component, "delivery", fields);
    }
}

impl From<DatabaseError> for EventStatus {
    fn from(error: DatabaseError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<ConfigurationError> for EventStatus {
    fn from(error: ConfigurationError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<domain::event::MalformedEvent> for EventStatus {
    fn from(error: domain::event::MalformedEvent) -> Self {
        Self::Drop(error.to_string())
    }
}

/// Reads a delivery's body.
///
/// # Errors
///
/// The answer to a body that is too large or breaks off.
pub async fn body(request: Request) -> Result<Vec<u8>, EventStatus> {
    request
        .body(BODY_LIMIT)
        .await
        .map_err(|problem| match problem.status() {
            413 => EventStatus::Drop("the delivery is too large".to_owned()),
            _ => EventStatus::Retry("the delivery ended early".to_owned()),
        })
}
