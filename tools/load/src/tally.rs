//! What the clients saw.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Counts and times of one kind of request. Times are kept to three digits, up to a minute.
pub(crate) struct Tally {
    times: Histogram<u64>,
    accepted: u64,
    /// Answers that were not 2xx, by status.
    statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    unanswered: u64,
    /// The first reason there was none.
    reason: Option<String>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            times: Histogram::new_with_bounds(1, 60_000_000, 3)?,
            accepted: 0,
            statuses: BTreeMap::new(),
            unanswered: 0,
            reason: None,
        })
    }

    pub(crate) fn answered(&mut self, status: u16, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.times.saturating_record(micros);
        if (200..300).contains(&status) {
            self.accepted += 1;
        } else {
            *self.statuses.entry(status).or_default() += 1;
        }
    }

    pub(crate) fn unanswered(&mut self, error: &std::io::Error) {
        self.unanswered += 1;
        self.reason.get_or_insert_with(|| error.to_string());
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.times.add(&other.times)?;
        self.accepted += other.accepted;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.unanswered += other.unanswered;
        if self.reason.is_none() {
            self.reason.clone_from(&other.reason);
        }
        Ok(())
    }

    /// Whether nothing was asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.unanswered == 0
    }

    pub(crate) fn json(&self) -> Value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds of at most a minute"
        )]
        let ms = |micros: u64| micros as f64 / 1000.0;
        json!({
            "answered": self.times.len(),
            "accepted": self.accepted,
            "errors": self.statuses.values().sum::<u64>() + self.unanswered,
            "statuses": self.statuses,
            "unanswered": self.unanswered,
            "reason": self.reason,
            "p50_ms": ms(self.times.value_at_quantile(0.50)),
            "p99_ms": ms(self.times.value_at_quantile(0.99)),
            "max_ms": ms(self.times.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_clients_together() {
        let mut all = Tally::new().expect("a tally");
        for half in [1..=50, 51..=100] {
            let mut client = Tally::new().expect("a tally");
            for millis in half {
                client.answered(201, Duration::from_millis(millis));
            }
            all.add(&client).expect("equal bounds");
        }
        all.answered(503, Duration::from_millis(100));
        let json = all.json();
        let near = |name: &str, expected: f64| {
            let value = json[name].as_f64().expect("a number");
            assert!(
                (value - expected).abs() / expected < 0.002,
                "{name} {value}"
            );
        };
        near("p50_ms", 51.0);
        near("p99_ms", 100.0);
        assert_eq!(json["accepted"], 100);
        assert_eq!(json["answered"], 101);
        assert_eq!(json["statuses"]["503"], 1);
    }
}
