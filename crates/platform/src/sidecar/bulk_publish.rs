//! Bulk publishes: many events in one call, and what became of each.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use spin_sdk::http::Method;

use super::{Answer, ESCAPED, Sidecar, SidecarError, refusal};
use crate::outbox::{OutboundEvent, Topic};

/// The most events in a call; with more, the sidecar's answer to a failure could be too long to be read.
const MOST_ENTRIES: usize = 100;

/// The largest body of a bulk publish, in bytes; the sidecar takes 4 MiB.
const BATCH_SIZE: usize = 1_000_000;

/// How many bytes an entry adds to its event, at most.
const ENTRY_SIZE: usize = 300;

/// How many calls of a batch are under way at once.
const CALLS_AT_ONCE: usize = 8;

/// How long a refused batch is divided in search of the event that is to blame.
const SPLITTING_TIME: Duration = Duration::from_secs(2);

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The broker has it.
    Published,
    /// The broker or the sidecar refused it; it may take it later.
    Failed(String),
    /// The broker answered and refused the event for now: its partition or topic cannot be written. Other events may
    /// succeed.
    Refused(String),
    /// The event itself is at fault; sending it again will not help.
    Rejected(String),
    /// No answer came; the event may have reached the broker anyway.
    Unknown(String),
}

impl Sidecar {
    /// Publishes events of different users: one call for each topic, all at the same time. Returns the fate of each
    /// event, in the order given.
    ///
    /// If a call is refused as a whole because of its events, each half is sent again, until the event to blame is
    /// found.
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
        // A key in the address would be the key of all entries.
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
        // A single event is published in its own trace. A batch has many traces, but the call has only one header.
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

/// Divides events into calls of one topic each that are not too large. An event is named by its place in `events`.
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

/// Notes the fate of each event in a call. Returns the batches to send again to find the event to blame.
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
    // If one record is too large, the broker refuses its neighbours too.
    if batch.len() > 1 && rejected.len() > 1 {
        return rejected.into_iter().map(|place| vec![place]).collect();
    }
    for place in rejected {
        fates[place] = Some(Fate::Rejected("too large".to_owned()));
    }
    Vec::new()
}

/// Whether the broker itself refused this entry, rather than being away or silent. Dapr passes on only the text of its
/// Kafka client, which contains this for an error code of the protocol.
fn is_of_the_broker(error: &str) -> bool {
    error.contains("kafka server: ")
}

/// Whether the entry is too large for any broker. Dapr passes on only the text of its Kafka client.
fn is_too_large(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    error.contains("too large") || error.contains("larger than")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user: &str, topic: Topic, size: usize) -> OutboundEvent {
        OutboundEvent {
            user_id: user.to_owned(),
            sequence: 1,
            topic,
            event: serde_json::value::to_raw_value(&"x".repeat(size)).unwrap(),
        }
    }

    #[test]
    fn a_bulk_publish_has_one_topic_and_a_bounded_size() {
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
    fn entries_not_listed_as_failed_were_published() {
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
    fn a_refused_batch_is_divided_to_find_the_event_to_blame() {
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
