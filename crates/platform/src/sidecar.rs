//! The Dapr sidecar's HTTP API.

mod bulk_publish;
mod record;

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use serde::Deserialize;
use spin_sdk::http::{Fields, Method, OutgoingRequest, Scheme};

pub use self::bulk_publish::Fate;
use crate::configuration::{self, ConfigurationError};
use crate::outbound;

/// How many bytes of an error's body are read. The error of a bulk publish lists each entry that failed.
const ERROR_BODY_LIMIT: usize = 1024 * 1024;

/// The unreserved characters of RFC 3986 stay as they are in a path segment or query value.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The sidecar of this replica.
pub struct Sidecar {
    scheme: Scheme,
    authority: String,
    token: String,
    name: String,
    pubsub: String,
    tasks_topic: String,
    reminders_topic: String,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SidecarError {
    /// It may succeed later: no connection, no answer in time, an error of the sidecar or the broker, a sidecar that
    /// is still starting, a token or component that is not set up.
    Failed(String),
    /// The event or job that was sent is at fault; sending it again will not help.
    Rejected(String),
}

impl fmt::Display for SidecarError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => write!(formatter, "failed: {reason}"),
            Self::Rejected(reason) => write!(formatter, "rejected: {reason}"),
        }
    }
}

impl std::error::Error for SidecarError {}

impl Sidecar {
    /// The sidecar of the variables `dapr_url`, `dapr_api_token`, `sidecar_name`, `pubsub_name`, `tasks_topic` and
    /// `reminders_topic`.
    ///
    /// # Errors
    ///
    /// When one of them is not set.
    pub fn from_configuration() -> Result<Self, ConfigurationError> {
        let url = configuration::variable("dapr_url")?;
        let (scheme, authority) = match url.split_once("://") {
            Some(("https", authority)) => (Scheme::Https, authority),
            Some((_, authority)) => (Scheme::Http, authority),
            None => (Scheme::Http, url.as_str()),
        };
        Ok(Self {
            scheme,
            authority: authority.trim_end_matches('/').to_owned(),
            token: configuration::variable("dapr_api_token")?,
            name: configuration::variable("sidecar_name")?,
            pubsub: configuration::variable("pubsub_name")?,
            tasks_topic: configuration::variable("tasks_topic")?,
            reminders_topic: configuration::variable("reminders_topic")?,
        })
    }

    /// The sidecar's name: the key of its publisher and of its breakers in the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a call and reads the status of the answer. Reads a body only if the answer is an error.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), SidecarError> {
        let answer = self
            .exchange(method, path, headers, body)
            .await
            .map_err(SidecarError::Failed)?;
        match answer.status {
            200..300 => Ok(()),
            status => Err(refusal(status, &answer.problem().error_code)),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let fields = Fields::new();
        let length = body.len().to_string();
        let token = (!self.token.is_empty()).then_some(("dapr-api-token", self.token.as_str()));
        let all = headers
            .iter()
            .copied()
            .chain(token)
            .chain([("content-length", length.as_str())]);
        for (name, value) in all {
            fields
                .append(name, value.as_bytes())
                .map_err(|_| format!("the header {name} cannot be set"))?;
        }
        let request = OutgoingRequest::new(fields);
        let set = request
            .set_method(&method)
            .and_then(|()| request.set_scheme(Some(&self.scheme)))
            .and_then(|()| request.set_authority(Some(&self.authority)))
            .and_then(|()| request.set_path_with_query(Some(path)));
        set.map_err(|()| "the variable dapr_url is not a URL".to_owned())?;
        let response = outbound::send(request, body).await?;
        let status = response.status();
        let body = match status {
            200..300 => Vec::new(),
            _ => outbound::body(response, ERROR_BODY_LIMIT).await,
        };
        Ok(Answer { status, body })
    }
}

/// Sorts an error of the sidecar: the event is at fault, or the call may succeed later. A 4xx blames the event, except
/// those that describe the sidecar's own state: not set up yet, no access, too busy. Dapr 1.18 answers 500 to an event
/// that it cannot read, with a code that says so.
fn refusal(status: u16, code: &str) -> SidecarError {
    let reason = format!("HTTP {status} {code}");
    let of_the_event = code == "ERR_PUBSUB_CLOUD_EVENTS_SER";
    let of_the_sidecar = matches!(status, 401 | 403 | 404 | 408 | 425 | 429)
        || ["NOT_FOUND", "NOT_CONFIGURED"]
            .iter()
            .any(|end| code.ends_with(end));
    if of_the_event || ((400..500).contains(&status) && !of_the_sidecar) {
        SidecarError::Rejected(reason)
    } else {
        SidecarError::Failed(reason)
    }
}

/// What the sidecar answered; the body is that of an error.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// The body of a Dapr error.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DaprProblem {
    error_code: String,
    failed_entries: Vec<FailedEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedEntry {
    entry_id: String,
    #[serde(default)]
    error: String,
}

impl Answer {
    fn problem(&self) -> DaprProblem {
        let mut problem: DaprProblem = serde_json::from_slice(&self.body).unwrap_or_default();
        let is_code = |code: &str| {
            code.len() < 100 && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        };
        // Arbitrary text must not reach a log.
        if !is_code(&problem.error_code) {
            problem.error_code.clear();
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::{SidecarError, refusal};

    #[test]
    fn only_a_fault_of_the_event_itself_is_a_rejection() {
        for (status, code) in [
            (400, "ERR_PUBSUB_CLOUD_EVENTS_SER"),
            (500, "ERR_PUBSUB_CLOUD_EVENTS_SER"),
            (413, ""),
            (422, ""),
        ] {
            assert!(
                matches!(refusal(status, code), SidecarError::Rejected(_)),
                "{status} {code}"
            );
        }
        for (status, code) in [
            (500, "ERR_PUBSUB_PUBLISH_MESSAGE"),
            (400, "ERR_PUBSUB_NOT_CONFIGURED"),
            (400, "ERR_PUBSUB_NOT_FOUND"),
            (401, ""),
            (403, "ERR_PUBSUB_FORBIDDEN"),
            (404, ""),
            (429, ""),
            (503, ""),
            (302, ""),
        ] {
            assert!(
                matches!(refusal(status, code), SidecarError::Failed(_)),
                "{status} {code}"
            );
        }
    }
}
