//! PostgreSQL through Spin's outbound driver.
//!
//! Spin offers no transactions, so each statement is one. Each statement opens a connection, runs and returns it to the
//! pool. An instance never holds two connections at once (the pool has no wait limit, so that could deadlock it), and
//! none while it calls the sidecar. Every statement returns exactly one row with one column, JSON as text: Spin 4.0
//! never returns from a query without rows.

mod error;

use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use spin_sdk::pg4::{Connection, DbValue, ParameterValue};

pub use self::error::DatabaseError;
use self::error::classify;
use crate::call::Call;
use crate::configuration::{self, ConfigurationError};

/// How often a statement is tried in all if it loses to another one (deadlock, serialization failure).
const ATTEMPTS: u32 = 5;

/// How long a handler keeps trying to reach PostgreSQL; within the sidecar's time-out for a delivery.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The parameters added to an address, in seconds; Spin hands them to tokio-postgres. With them a connection whose peer
/// vanished silently ends after some seconds, not after minutes or hours.
const TIME_LIMITS: &str = "connect_timeout=3&tcp_user_timeout=10&keepalives_idle=15&keepalives_interval=5&keepalives_retries=3";

/// Where the database is. Holds no connection.
pub struct Database {
    address: String,
}

impl Database {
    /// The database of the variable `database_url`, over connections of the component's own, which are named after the
    /// variable `application_name`.
    ///
    /// # Errors
    ///
    /// When a variable is not set.
    pub fn from_configuration() -> Result<Self, ConfigurationError> {
        Self::named(&configuration::variable("application_name")?)
    }

    /// The same database over connections for health checks alone, which must not wait behind clients.
    ///
    /// # Errors
    ///
    /// When a variable is not set.
    pub fn for_probes() -> Result<Self, ConfigurationError> {
        let name = configuration::variable("application_name")?;
        Self::named(&format!("{name}-probe"))
    }

    fn named(name: &str) -> Result<Self, ConfigurationError> {
        let url = configuration::variable("database_url")?;
        Ok(Self {
            address: address(&url, name),
        })
    }

    /// Runs a statement and reads the JSON in its only row's only column.
    ///
    /// A statement that lost to another one is tried again at once, a few times; it had no effect.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached or refuses the statement, or the answer is not a `T`.
    pub fn query<T: DeserializeOwned>(
        &self,
        statement: &str,
        parameters: &[ParameterValue],
    ) -> Result<T, DatabaseError> {
        let mut attempt = 1;
        loop {
            match self.query_once(statement, parameters) {
                Err(DatabaseError::Refused { code, .. })
                    if matches!(code.as_str(), "40P01" | "40001") && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Like [`Database::query`], but keeps trying for up to [`PATIENCE`] while PostgreSQL cannot be reached, and after
    /// a refusal that may pass: a handler that mistakes an outage for a refusal makes a dead letter. Use it only for
    /// statements that may run twice, because the answer of a successful attempt can get lost.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    pub fn query_patiently<T: DeserializeOwned>(
        &self,
        statement: &str,
        parameters: &[ParameterValue],
    ) -> Result<T, DatabaseError> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            match self.query(statement, parameters) {
                Err(error) if error.may_pass() && start.elapsed() + pause < PATIENCE => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                answer => return answer,
            }
        }
    }

    /// Calls a function of the database, as [`Database::query`] runs a statement.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    pub fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, DatabaseError> {
        let (statement, parameters) = call.statement();
        self.query(&statement, &parameters)
    }

    /// Calls a function of the database, as [`Database::query_patiently`] runs a statement.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    pub fn call_patiently<T: DeserializeOwned>(&self, call: Call) -> Result<T, DatabaseError> {
        let (statement, parameters) = call.statement();
        self.query_patiently(&statement, &parameters)
    }

    fn query_once<T: DeserializeOwned>(
        &self,
        statement: &str,
        parameters: &[ParameterValue],
    ) -> Result<T, DatabaseError> {
        let connection = Connection::open(&self.address).map_err(classify)?;
        let rows = connection
            .query(statement, parameters)
            .map_err(classify)?
            .rows;
        drop(connection);
        match rows.first().map(Vec::as_slice) {
            Some([DbValue::Str(json)]) => serde_json::from_str(json).map_err(|error| {
                DatabaseError::UnexpectedAnswer(format!("{:?} error", error.classify()))
            }),
            Some([_]) => Err(DatabaseError::UnexpectedAnswer(
                "the column is not text".to_owned(),
            )),
            Some(_) => Err(DatabaseError::UnexpectedAnswer("not one column".to_owned())),
            None => Err(DatabaseError::UnexpectedAnswer("no row".to_owned())),
        }
    }
}

/// An address with a name and time limits. Spin keeps a pool of connections for each address string, so another name is
/// another pool. What the operator's address sets comes last and wins.
fn address(url: &str, name: &str) -> String {
    let (server, parameters) = url.split_once('?').unwrap_or((url, ""));
    let address = format!("{server}?application_name={name}&{TIME_LIMITS}");
    if parameters.is_empty() {
        address
    } else {
        format!("{address}&{parameters}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{TIME_LIMITS, address};

    #[test]
    fn an_address_has_a_name_and_limits_that_the_operators_settings_override() {
        assert_eq!(
            address("postgres://u:p%3F@h:5432/todo", "task-api"),
            format!("postgres://u:p%3F@h:5432/todo?application_name=task-api&{TIME_LIMITS}")
        );
        let config = |url: &str| -> tokio_postgres::Config { address(url, "x").parse().unwrap() };
        let ours = config("postgres://u:p@h/todo?sslmode=disable");
        assert_eq!(ours.get_application_name(), Some("x"));
        assert_eq!(ours.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(ours.get_tcp_user_timeout(), Some(&Duration::from_secs(10)));
        assert_eq!(ours.get_keepalives_idle(), Duration::from_secs(15));
        let theirs = config("postgres://u:p@h/todo?connect_timeout=7&application_name=y");
        assert_eq!(theirs.get_application_name(), Some("y"));
        assert_eq!(theirs.get_connect_timeout(), Some(&Duration::from_secs(7)));
    }
}
