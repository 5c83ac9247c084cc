//! Circuit breakers, one for each dependency of each sidecar.
//!
//! The first failure opens a breaker. While it is open nobody calls the dependency but the relay, which probes it
//! after a back-off that doubles with each failed probe (1 s to 30 s) and closes it after a successful one.

use serde::Deserialize;

use crate::database::{Database, DatabaseError, text};

/// What a sidecar reaches for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    /// The broker.
    Pubsub,
    /// The scheduler.
    Jobs,
}

impl Dependency {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pubsub => "pubsub",
            Self::Jobs => "jobs",
        }
    }
}

/// The breaker of one dependency.
pub struct Breaker<'a> {
    /// Where its state is.
    pub database: &'a Database,
    /// The sidecar's name.
    pub sidecar: &'a str,
    /// What it guards.
    pub dependency: Dependency,
}

/// What a breaker lets the relay do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Closed: call as usual.
    Call,
    /// Open, and the back-off is over: one call, whose outcome decides.
    Probe,
    /// Open: no call.
    Wait,
}

impl Breaker<'_> {
    /// Opens the breaker after a failed call. One that is open already stays as it is: calls that were under way when
    /// it opened say nothing new.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn open(&self) -> Result<(), DatabaseError> {
        self.run(
            "WITH opened AS (
                INSERT INTO publish_breaker AS breaker (sidecar, dependency, failures, probe_at)
                VALUES ($1, $2, 1, clock_timestamp() + interval '1 second')
                ON CONFLICT (sidecar, dependency) DO UPDATE SET failures = 1, probe_at = excluded.probe_at
                WHERE breaker.failures = 0
            )
            SELECT 'null'",
        )
    }

    /// Closes the breaker after a successful probe.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn close(&self) -> Result<(), DatabaseError> {
        self.run(
            "WITH closed AS (
                UPDATE publish_breaker SET failures = 0 WHERE sidecar = $1 AND dependency = $2
            )
            SELECT 'null'",
        )
    }

    /// Counts a failed probe: the next one comes after twice the time, 30 s at most.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn probe_failed(&self) -> Result<(), DatabaseError> {
        self.run(
            "WITH failed AS (
                UPDATE publish_breaker SET
                    failures = failures + 1,
                    probe_at = clock_timestamp() + least(30, power(2, least(failures, 5))) * interval '1 second'
                WHERE sidecar = $1 AND dependency = $2 AND failures > 0
            )
            SELECT 'null'",
        )
    }

    /// Whether the relay may call now. A probe is given to one caller at a time.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn permission(&self) -> Result<Permission, DatabaseError> {
        self.run(
            "WITH probe AS (
                UPDATE publish_breaker SET probe_at = clock_timestamp() + interval '10 seconds'
                WHERE sidecar = $1 AND dependency = $2 AND failures > 0 AND probe_at <= clock_timestamp()
                RETURNING 1
            )
            SELECT to_json(CASE
                WHEN EXISTS (SELECT FROM probe) THEN 'probe'
                WHEN EXISTS (
                    SELECT FROM publish_breaker WHERE sidecar = $1 AND dependency = $2 AND failures > 0
                ) THEN 'wait'
                ELSE 'call'
            END)::text",
        )
    }

    fn run<T: serde::de::DeserializeOwned>(&self, statement: &str) -> Result<T, DatabaseError> {
        self.database.query(
            statement,
            &[text(self.sidecar), text(self.dependency.as_str())],
        )
    }
}
