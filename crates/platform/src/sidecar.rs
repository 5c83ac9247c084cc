//! The Dapr sidecar's HTTP API.

mod record;

use std::fmt;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use spin_sdk::http::{Fields, Method, OutgoingRequest, Scheme};

use crate::configuration::{self, ConfigurationError};
use crate::outbound;
use crate::outbox::{OutboundEvent, Topic};

/// How much of an error's body is read: that of a bulk publish tells of each entry.
const ERROR_BODY_LIMIT: usize = 1024 * 1024;

/// The most events in a call; with more, the sidecar's answer to a failure could be too long to be read.
const MOST_ENTRIES: usize = 100;

/// The largest body of a bulk publish, in bytes; the sidecar takes 4 MiB.
const BATCH_SIZE: usize = 1_000_000;

/// What an entry adds to its event, at most.
const ENTRY_SIZE: usize = 300;

/// How many calls of a batch are under way at once.
const CALLS_AT_ONCE: usize = 8;

/// After which time no further call looks for the event that is to blame.
const SPLITTING_TIME: Duration = Duration::from_secs(2);

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

    /// The sidecar's name, which its publisher and its breakers are kept under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Publishes events, of which no two are of the same user: one call for each topic, at the same time. Tells what
    /// became of each, in their order.
    ///
    /// A call that is refused as a whole because of what was sent is made again in two halves, down to the event that is
    /// to blame.
    pub async fn publish(&self, events: &[OutboundEvent]) -> Vec<Fate> {
        let start = Instant::now();
        let mut fates: Vec<Option<Fate>> = events.iter().map(|_| None).collect();
        let mut batches = batches(events);
        while !batches.is_empty() && start.elapsed() < SPLITTING_TIME {
            let calls = batches
                .drain(..)
                .map(|batch| async { (self.publish_batch(events, &batch).await, batch) });
            let answers: Vec<_> = stream::iter(calls)
                .buffer_unordered(CALLS_AT_ONCE)
                .collect()
                .await;
            for (answer, batch) in answers {
                batches.extend(settle(answer, batch, &mut fates));
            }
        }
        fates
            .into_iter()
            .map(|fate| fate.unwrap_or_else(|| Fate::Failed("left for later".to_owned())))
            .collect()
    }

    /// Publishes the events at these places, all of one topic, in one call.
    async fn publish_batch(
        &self,
        events: &[OutboundEvent],
        places: &[usize],
    ) -> Result<Answer, String> {
        let topic = match places.first().map(|place| events[*place].topic) {
            Some(Topic::Reminders) => &self.reminders_topic,
            _ => &self.tasks_topic,
        };
        // A key in the address would be that of all entries.
        let path = format!(
            "/v1.0/publish/bulk/{}/{}",
            utf8_percent_encode(&self.pubsub, ESCAPED),
            utf8_percent_encode(topic, ESCAPED),
        );
        let entries: Vec<Entry<'_>> = places
            .iter()
            .map(|place| Entry {
                entry_id: place.to_string(),
                event: &events[*place].event,
                content_type: "application/cloudevents+json",
                metadata: Metadata {
                    partition_key: &events[*place].user_id,
                },
            })
            .collect();
        let body = serde_json::to_vec(&entries).map_err(|error| error.to_string())?;
        // An event that goes alone is published in its own trace; a call has one header, and a batch many traces.
        let trace = match places {
            [place] => traceparent_of(&events[*place]),
            _ => None,
        };
        let headers: Vec<_> = [("content-type", "application/json")]
            .into_iter()
            .chain(trace.as_deref().map(|trace| ("traceparent", trace)))
            .collect();
        self.exchange(Method::Post, &path, &headers, &body).await
    }

    /// Makes a call and reads its answer's status; a body is read only from an error.
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

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The broker has it.
    Published,
    /// The broker or the sidecar refused it; it may take it later.
    Failed(String),
    /// The broker is there and refused it for now: its partition or its topic cannot be written. Says nothing of others.
    Refused(String),
    /// It is at fault itself; sending it again will not help.
    Rejected(String),
    /// No answer came; it may be at the broker all the same.
    Unknown(String),
}

/// An event in a bulk publish of Dapr.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    entry_id: String,
    event: &'a RawValue,
    content_type: &'static str,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    partition_key: &'a str,
}

/// The trace that an event belongs to.
fn traceparent_of(event: &OutboundEvent) -> Option<String> {
    #[derive(Deserialize)]
    struct Traced {
        traceparent: Option<String>,
    }
    serde_json::from_str::<Traced>(event.event.get())
        .ok()?
        .traceparent
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

/// Events by their places, in calls of one topic each that are not too large.
fn batches(events: &[OutboundEvent]) -> Vec<Vec<usize>> {
    let mut batches = Vec::new();
    for topic in [Topic::Tasks, Topic::Reminders] {
        let mut batch = Vec::new();
        let mut size = 0;
        for (place, event) in events.iter().enumerate() {
            if event.topic != topic {
                continue;
            }
            let own = event.event.get().len() + ENTRY_SIZE;
            if size + own > BATCH_SIZE || batch.len() == MOST_ENTRIES {
                batches.push(std::mem::take(&mut batch));
                size = 0;
            }
            batch.push(place);
            size += own;
        }
        batches.push(batch);
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

/// Notes what an answer to a call says of its events; gives what is to be sent once more to tell who is to blame.
fn settle(
    answer: Result<Answer, String>,
    batch: Vec<usize>,
    fates: &mut [Option<Fate>],
) -> Vec<Vec<usize>> {
    let mut all = |fate: Fate| {
        for place in &batch {
            fates[*place] = Some(fate.clone());
        }
        Vec::new()
    };
    let answer = match answer {
        Err(reason) => return all(Fate::Unknown(reason)),
        Ok(answer) if (200..300).contains(&answer.status) => return all(Fate::Published),
        Ok(answer) => answer,
    };
    let problem = answer.problem();
    if problem.failed_entries.is_empty() {
        return match refusal(answer.status, &problem.error_code) {
            SidecarError::Failed(reason) => all(Fate::Failed(reason)),
            SidecarError::Rejected(reason) if batch.len() == 1 => all(Fate::Rejected(reason)),
            SidecarError::Rejected(_) => {
                let (first, second) = batch.split_at(batch.len() / 2);
                vec![first.to_vec(), second.to_vec()]
            }
        };
    }
    all(Fate::Published);
    let mut rejected = Vec::new();
    for entry in problem.failed_entries {
        let Some(place) = entry.entry_id.parse().ok().filter(|p| batch.contains(p)) else {
            continue;
        };
        if is_too_large(&entry.error) {
            rejected.push(place);
        } else {
            let reason = format!("HTTP {} {}", answer.status, problem.error_code);
            fates[place] = Some(if is_of_the_broker(&entry.error) {
                Fate::Refused(reason)
            } else {
                Fate::Failed(reason)
            });
        }
    }
    // A record that the broker finds too large takes its neighbours with it.
    if batch.len() > 1 && rejected.len() > 1 {
        return rejected.into_iter().map(|place| vec![place]).collect();
    }
    for place in rejected {
        fates[place] = Some(Fate::Rejected("too large".to_owned()));
    }
    Vec::new()
}

/// Whether a failed entry is the broker's answer to its partition or topic, and not the lack of a broker or an answer: Dapr
/// tells only by the text of its Kafka client, which begins so where it is an error code of the protocol.
fn is_of_the_broker(error: &str) -> bool {
    error.contains("kafka server: ")
}

/// Whether a failed entry is one that no broker will take: Dapr tells only by the text of its Kafka client.
fn is_too_large(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    error.contains("too large") || error.contains("larger than")
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

    fn event(user: &str, topic: Topic, size: usize) -> OutboundEvent {
        OutboundEvent {
            user_id: user.to_owned(),
            sequence: 1,
            topic,
            event: serde_json::value::to_raw_value(&"x".repeat(size)).unwrap(),
        }
    }

    #[test]
    fn a_call_is_of_one_topic_and_not_too_large() {
        let mut events: Vec<_> = (0..250).map(|_| event("a", Topic::Tasks, 10)).collect();
        events[7].topic = Topic::Reminders;
        let lengths: Vec<_> = batches(&events).iter().map(Vec::len).collect();
        assert_eq!(lengths, [100, 100, 49, 1]);
        let large: Vec<_> = (0..40).map(|_| event("a", Topic::Tasks, 70_000)).collect();
        let lengths: Vec<_> = batches(&large).iter().map(Vec::len).collect();
        assert_eq!(lengths, [14, 14, 12]);
        assert!(batches(&[]).is_empty());
    }

    fn settled(status: u16, body: &str, count: usize) -> (Vec<Option<Fate>>, Vec<Vec<usize>>) {
        let mut fates = vec![None; count];
        let answer = Answer {
            status,
            body: body.as_bytes().to_vec(),
        };
        let again = settle(Ok(answer), (0..count).collect(), &mut fates);
        (fates, again)
    }

    #[test]
    fn what_is_not_listed_as_failed_was_published() {
        let body = r#"{"errorCode":"ERR_PUBSUB_PUBLISH_MESSAGE","failedEntries":[
            {"entryId":"1","error":"not enough replicas"},{"entryId":"2","error":"message larger than configured"},
            {"entryId":"3","error":"kafka server: Messages are rejected since there are fewer in-sync replicas than required"},
            {"entryId":"4","error":"kafka: client has run out of available brokers to talk to"},
            {"entryId":"9","error":"unknown"}]}"#;
        let (fates, again) = settled(500, body, 5);
        assert_eq!(fates[0], Some(Fate::Published));
        assert!(matches!(fates[1], Some(Fate::Failed(_))));
        assert!(matches!(fates[2], Some(Fate::Rejected(_))));
        assert!(matches!(fates[3], Some(Fate::Refused(_))));
        assert!(matches!(fates[4], Some(Fate::Failed(_))));
        assert!(again.is_empty());
    }

    #[test]
    fn who_is_to_blame_is_looked_for() {
        let refused = r#"{"errorCode":"ERR_PUBSUB_CLOUD_EVENTS_SER"}"#;
        let (_, again) = settled(500, refused, 5);
        assert_eq!(again, [vec![0, 1], vec![2, 3, 4]]);
        let (fates, again) = settled(500, refused, 1);
        assert!(matches!(fates[0], Some(Fate::Rejected(_))) && again.is_empty());
        let large = r#"{"failedEntries":[{"entryId":"0","error":"too large"},{"entryId":"1","error":"too large"}]}"#;
        let (_, again) = settled(500, large, 3);
        assert_eq!(again, [vec![0], vec![1]]);
        for (status, body) in [(503, ""), (404, ""), (500, "no JSON")] {
            let (fates, again) = settled(status, body, 2);
            assert!(matches!(fates[1], Some(Fate::Failed(_))) && again.is_empty());
        }
    }
}
