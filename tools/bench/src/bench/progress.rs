//! How far a sidecar is with what was published.
//!
//! A server that publishes after its answer looks fast until its events were handled, so each load is followed by a wait
//! until everything is settled: the broker has as many events as the load must have caused, each consumer was given all of
//! them, and for two seconds none of the sidecar's counts has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use stack::kafka::{self, Offsets};
use stack::{interrupt, net};

const POLL: Duration = Duration::from_millis(100);
/// How long nothing may move before it counts as settled.
const STILL: Duration = Duration::from_secs(2);
/// How long nothing may move before the rest is given up.
const GIVEN_UP: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(600);

/// A component and a topic it delivers.
type Consumer = (String, String);

/// The sidecar's counts so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Of what was delivered and is done with.
    delivered: BTreeMap<Consumer, u64>,
    /// Of everything, to see whether anything moves.
    all: u64,
}

impl Counts {
    /// Reads Prometheus' text format.
    fn parse(metrics: &str) -> Self {
        let mut counts = Self::default();
        for line in metrics.lines() {
            let Some((name, rest)) = line.split_once('{') else {
                continue;
            };
            let counted = name.starts_with("dapr_component_pubsub_")
                && name.ends_with("_count")
                && !name.contains("latencies");
            if !counted {
                continue;
            }
            let Some((labels, value)) = rest.rsplit_once("} ") else {
                continue;
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count, which Prometheus writes like any number"
            )]
            let value = value.trim().parse::<f64>().unwrap_or_default() as u64;
            counts.all += value;
            let label = |name: &str| {
                labels.split(',').find_map(|label| {
                    let value = label.strip_prefix(name)?.strip_prefix("=\"")?;
                    value.strip_suffix('"').map(str::to_owned)
                })
            };
            if name == "dapr_component_pubsub_ingress_count"
                && label("process_status").is_some_and(|status| status != "retry")
                && let (Some(component), Some(topic)) = (label("component"), label("topic"))
            {
                *counts.delivered.entry((component, topic)).or_default() += value;
            }
        }
        counts
    }
}

/// A sidecar, and the broker it works with.
#[derive(Debug)]
pub(crate) struct Progress {
    metrics_url: String,
    kafka: String,
    topics: Vec<&'static str>,
    /// Those that have been given anything so far: each must be given everything.
    consumers: BTreeSet<Consumer>,
}

/// Where things stood before a load.
#[derive(Clone, Debug)]
pub(crate) struct Baseline {
    ends: BTreeMap<&'static str, i64>,
    counts: Counts,
}

/// Where things stand after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    /// From the end of the load until the last count moved.
    pub(crate) after: Duration,
    /// What has come to the broker.
    pub(crate) published: u64,
    /// What never came to the broker, or not to a consumer.
    pub(crate) missing: u64,
}

impl Progress {
    pub(crate) fn new(metrics_url: &str, kafka: &str, topics: &[&'static str]) -> Self {
        Self {
            metrics_url: format!("{metrics_url}/metrics"),
            kafka: kafka.to_owned(),
            topics: topics.to_vec(),
            consumers: BTreeSet::new(),
        }
    }

    /// Where things stand now.
    pub(crate) fn baseline(&self) -> Result<Baseline> {
        Ok(Baseline {
            ends: self.ends()?,
            counts: self.counts()?,
        })
    }

    /// As [`Progress::baseline`], for a sidecar that is to start: it counts from 0.
    pub(crate) fn baseline_without_sidecar(&self) -> Result<Baseline> {
        Ok(Baseline {
            ends: self.ends()?,
            counts: Counts::default(),
        })
    }

    /// Waits until at least `expected` events were published since then, and all that were published are settled.
    pub(crate) fn settle(&mut self, since: &Baseline, expected: u64) -> Result<Settled> {
        let began = Instant::now();
        let mut changed = began;
        let mut last = self.counts()?;
        loop {
            interrupt::check()?;
            if changed.elapsed() >= STILL {
                let (published, missing) = self.missing(since, &last, expected)?;
                if missing == 0 || changed.elapsed() >= GIVEN_UP {
                    self.consumers.extend(last.delivered.into_keys());
                    return Ok(Settled {
                        after: changed.duration_since(began),
                        published,
                        missing,
                    });
                }
            }
            if began.elapsed() > LIMIT {
                bail!("events were still moving after {} s", LIMIT.as_secs());
            }
            thread::sleep(POLL);
            let now = self.counts()?;
            if now != last {
                last = now;
                changed = Instant::now();
            }
        }
    }

    /// What was published since then, and how much is missing.
    fn missing(&self, since: &Baseline, now: &Counts, expected: u64) -> Result<(u64, u64)> {
        let ends = self.ends()?;
        let published: BTreeMap<&str, u64> = ends
            .iter()
            .map(|(topic, end)| {
                let before = since.ends.get(topic).copied().unwrap_or_default();
                (*topic, u64::try_from(end - before).unwrap_or_default())
            })
            .collect();
        let all = published.values().sum();
        let undelivered = self
            .consumers
            .iter()
            .chain(now.delivered.keys())
            .map(|consumer| {
                let count = |counts: &Counts| counts.delivered.get(consumer).copied();
                let delivered = count(now)
                    .unwrap_or_default()
                    .saturating_sub(count(&since.counts).unwrap_or_default());
                let published = published.get(consumer.1.as_str()).copied();
                published.unwrap_or_default().saturating_sub(delivered)
            })
            .max();
        let missing = expected
            .saturating_sub(all)
            .max(undelivered.unwrap_or_default());
        Ok((all, missing))
    }

    fn counts(&self) -> Result<Counts> {
        net::get(&self.metrics_url, &[])
            .map(|metrics| Counts::parse(&metrics))
            .context("the sidecar's metrics cannot be read")
    }

    /// How many records each topic has had. Not from the sidecar: it does not count what it publishes in bulk.
    fn ends(&self) -> Result<BTreeMap<&'static str, i64>> {
        self.topics
            .iter()
            .map(|topic| Ok((*topic, kafka::end_offsets(&self.kafka, topic)?)))
            .map(|found: Result<(&'static str, Offsets)>| {
                found.map(|(topic, offsets)| (topic, offsets.values().sum()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"# HELP dapr_component_pubsub_ingress_count The number of incoming messages
# TYPE dapr_component_pubsub_ingress_count counter
dapr_component_pubsub_egress_count{app_id="todo",component="kafka-pubsub",namespace="",success="true",topic="tasks"} 7
dapr_component_pubsub_ingress_count{app_id="todo",component="kafka-pubsub",namespace="",process_status="success",status="success",topic="tasks"} 5
dapr_component_pubsub_ingress_count{app_id="todo",component="kafka-pubsub",namespace="",process_status="drop",status="drop",topic="tasks"} 1
dapr_component_pubsub_ingress_count{app_id="todo",component="kafka-pubsub",namespace="",process_status="retry",status="retry",topic="tasks"} 2
dapr_component_pubsub_ingress_count{app_id="todo",component="reminders",namespace="",process_status="success",status="success",topic="tasks"} 1.2e+06
dapr_component_pubsub_ingress_latencies_count{app_id="todo",component="kafka-pubsub",process_status="success",topic="tasks"} 900
dapr_http_server_request_count{app_id="todo",method="POST"} 800
"#;

    #[test]
    fn deliveries_are_counted_for_each_consumer() {
        let counts = Counts::parse(METRICS);
        let of = |component: &str| counts.delivered[&(component.to_owned(), "tasks".to_owned())];
        assert_eq!(of("kafka-pubsub"), 6);
        assert_eq!(of("reminders"), 1_200_000);
        assert_eq!(counts.all, 7 + 5 + 1 + 2 + 1_200_000);
    }
}
