//! The breaker of the Jobs API, one for each sidecar.
//!
//! The first failure opens the breaker. While it is open, only the relay calls the Jobs API, as a probe, after a
//! back-off that doubles with each failed probe (1 s to 30 s). A successful probe closes the breaker. The breaker of
//! publishing is the row of the publisher (`migrations/functions/publishing.sql`).

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::database::{Database, DatabaseError};

/// The breaker of one sidecar's Jobs API.
pub struct Breaker<'a> {
    /// Where its state is.
    pub database: &'a Database,
    /// The sidecar's name.
    pub sidecar: &'a str,
}

/// What a breaker lets the relay do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Closed: call as usual.
    Call,
    /// Open, and the back-off is over: one call, which closes the breaker or keeps it open.
    Probe,
    /// Open: no call.
    Wait,
}

impl Breaker<'_> {
    /// Opens the breaker after a failed call. After a failed probe the back-off doubles.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn failed(&self, probe: bool) -> Result<(), DatabaseError> {
        let call = Call::of("jobs_failed").boolean("probe", probe);
        self.call(call)
    }

    /// Closes the breaker after a successful probe.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn close(&self) -> Result<(), DatabaseError> {
        self.call(Call::of("jobs_reached"))
    }

    /// Whether the relay may call now. A probe is given to one caller at a time.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn permission(&self) -> Result<Permission, DatabaseError> {
        self.call(Call::of("may_call_jobs"))
    }

    fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, DatabaseError> {
        self.database.call(call.text("sidecar", self.sidecar))
    }
}
