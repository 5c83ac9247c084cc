//! The Dapr sidecar's HTTP API.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures::{SinkExt, TryStreamExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use spin_executor::{CancelOnDropToken, push_waker_and_get_token};
use spin_sdk::http::{Fields, IncomingResponse, Method, OutgoingRequest, Scheme};
use spin_sdk::wit::wasi::http0_2_0::outgoing_handler;
use spin_sdk::wit::wasi::http0_2_0::types::RequestOptions;

use crate::configuration::{self, ConfigurationError};
use crate::outbox::{OutboundEvent, Topic};

/// The longest that a call takes: connecting, then waiting for the answer to begin.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How much of an error's body is read.
const ERROR_BODY_LIMIT: usize = 4096;

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
    first_byte_timeout: Duration,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SidecarError {
    /// It may succeed later: no connection, no answer in time, an error of the sidecar or the broker, a sidecar that
    /// is still starting, a token or component that is not set up.
    Failed(String),
    /// What was sent is at fault; sending it again will not help.
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
        let url = configuration::text("dapr_url")?;
        let (scheme, authority) = match url.split_once("://") {
            Some(("https", authority)) => (Scheme::Https, authority),
            Some((_, authority)) => (Scheme::Http, authority),
            None => (Scheme::Http, url.as_str()),
        };
        Ok(Self {
            scheme,
            authority: authority.trim_end_matches('/').to_owned(),
            token: configuration::text("dapr_api_token")?,
            name: configuration::text("sidecar_name")?,
            pubsub: configuration::text("pubsub_name")?,
            tasks_topic: configuration::text("tasks_topic")?,
            reminders_topic: configuration::text("reminders_topic")?,
            first_byte_timeout: CALL_TIMEOUT - CONNECT_TIMEOUT,
        })
    }

    /// The same sidecar, with a shorter wait for an answer to begin.
    #[must_use]
    pub fn with_first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.first_byte_timeout = timeout;
        self
    }

    /// The sidecar's name, which its breakers are kept under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Publishes an event and waits until the broker has acknowledged it. The user's id chooses the Kafka partition.
    ///
    /// # Errors
    ///
    /// When the event is not known to be at the broker; it may be there all the same.
    pub async fn publish(&self, event: &OutboundEvent) -> Result<(), SidecarError> {
        let topic = match event.topic {
            Topic::Tasks => &self.tasks_topic,
            Topic::Reminders => &self.reminders_topic,
        };
        let path = format!(
            "/v1.0/publish/{}/{}?metadata.partitionKey={}",
            utf8_percent_encode(&self.pubsub, ESCAPED),
            utf8_percent_encode(topic, ESCAPED),
            utf8_percent_encode(&event.user_id, ESCAPED),
        );
        let mut headers = vec![("content-type", "application/cloudevents+json")];
        if let Some(traceparent) = &event.traceparent {
            headers.push(("traceparent", traceparent));
        }
        self.call(Method::Post, &path, &headers, event.event.get().as_bytes())
            .await
    }

    /// Makes a call and reads its answer's status; a body is read only from an error.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), SidecarError> {
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
                .map_err(|_| SidecarError::Failed(format!("the header {name} cannot be set")))?;
        }
        let request = OutgoingRequest::new(fields);
        let set = request
            .set_method(&method)
            .and_then(|()| request.set_scheme(Some(&self.scheme)))
            .and_then(|()| request.set_authority(Some(&self.authority)))
            .and_then(|()| request.set_path_with_query(Some(path)));
        set.map_err(|()| SidecarError::Failed("the variable dapr_url is not a URL".to_owned()))?;
        let response = self.send(request, body).await?;
        match response.status() {
            200..300 => Ok(()),
            status => Err(refusal(status, &error_code(response).await)),
        }
    }

    async fn send(
        &self,
        request: OutgoingRequest,
        body: &[u8],
    ) -> Result<IncomingResponse, SidecarError> {
        let failed = |what: &str| SidecarError::Failed(what.to_owned());
        let options = RequestOptions::new();
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).ok();
        options
            .set_connect_timeout(nanoseconds(CONNECT_TIMEOUT))
            .and_then(|()| options.set_first_byte_timeout(nanoseconds(self.first_byte_timeout)))
            .and_then(|()| options.set_between_bytes_timeout(nanoseconds(self.first_byte_timeout)))
            .map_err(|()| failed("this host does not support time-outs"))?;
        let mut sink = request.take_body();
        let future = outgoing_handler::handle(request, Some(options))
            .map_err(|error| SidecarError::Failed(error.to_string()))?;
        sink.send(body.to_vec())
            .await
            .map_err(|_| failed("the request could not be sent"))?;
        drop(sink);
        let mut registration = None;
        poll_fn(|context| match future.get() {
            Some(response) => Poll::Ready(response),
            None => {
                let token = push_waker_and_get_token(future.subscribe(), context.waker().clone());
                registration = Some(CancelOnDropToken::from(token));
                Poll::Pending
            }
        })
        .await
        .map_err(|()| failed("the response was taken already"))?
        .map_err(|error| SidecarError::Failed(error.to_string()))
    }
}

/// Whether an error of the sidecar can pass by itself. A 4xx blames what was sent, but for those that tell of the
/// sidecar's own state: not yet set up, no access, too busy. Dapr 1.18 answers 500 to an event that it cannot read; its
/// code tells.
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

/// The `errorCode` in the body of a Dapr error; empty where there is none.
async fn error_code(response: IncomingResponse) -> String {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "errorCode")]
        error_code: String,
    }
    let mut body = Vec::new();
    let mut stream = Box::pin(response.take_body_stream());
    while let Ok(Some(chunk)) = stream.try_next().await {
        body.extend(chunk);
        if body.len() > ERROR_BODY_LIMIT {
            break;
        }
    }
    let code = serde_json::from_slice::<Body>(&body).map(|body| body.error_code);
    let is_code = |code: &String| {
        code.len() < 100 && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    };
    code.ok().filter(is_code).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
