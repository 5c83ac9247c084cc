//! What a handler tells the sidecar about an event, a job or a binding's call.
//!
//! Dapr reads the status code and, for events, the word in `status` (Dapr documentation, "Pub/sub API reference"): any
//! word it does not know means retry, so only these answers are given.

use crate::http::Response;

/// How a handler dealt with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Done, now or earlier: 200, never delivered again.
    Done,
    /// It can never be handled: 200 with `DROP`, which moves an event to the dead-letter topic unretried.
    Drop(String),
    /// It may be handled later: 500, which Dapr retries.
    Retry(String),
}

impl Delivery {
    /// The response that says so.
    pub fn response(&self) -> Response {
        match self {
            Self::Done => Response::json(200, r#"{"status":"SUCCESS"}"#),
            Self::Drop(_) => Response::json(200, r#"{"status":"DROP"}"#),
            Self::Retry(_) => Response::json(500, r#"{"status":"RETRY"}"#),
        }
    }

    /// The outcome's name in logs.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Drop(_) => "dropped",
            Self::Retry(_) => "retried",
        }
    }

    /// Why it is not done.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Drop(reason) | Self::Retry(reason) => Some(reason),
        }
    }
}
