//! Makes partitions ahead, drops partitions that have expired, and deletes expired rows in batches.

use std::fmt;
use std::time::Instant;

use platform::call::Call;
use platform::configuration::{self, ConfigurationError};
use platform::database::{Database, DatabaseError};
use platform::log::{self, Level};
use serde::Deserialize;
use serde_json::json;

use crate::COMPONENT;

/// How many rows of each kind a statement deletes.
const BATCH: i64 = 1000;

/// How long things are kept, in seconds.
struct Periods {
    topics: i64,
    idempotency_keys: i64,
    read_notifications: i64,
    unread_notifications: i64,
    analytics: i64,
    events: i64,
    dead_letters: i64,
    processed_ids: i64,
}

impl Periods {
    fn from_configuration() -> Result<Self, ConfigurationError> {
        let period = |name: &str| configuration::whole_number(&format!("retention_{name}_seconds"));
        Ok(Self {
            topics: period("topics")?,
            idempotency_keys: period("idempotency_keys")?,
            read_notifications: period("read_notifications")?,
            unread_notifications: period("unread_notifications")?,
            analytics: period("analytics")?,
            events: period("events")?,
            dead_letters: period("dead_letters")?,
            processed_ids: period("processed_ids")?,
        })
    }

    /// What is wrong with the order of the periods, if anything. The answer to an idempotency key is in its event, so
    /// events must outlive keys, and keys last at least 24 h. Processed ids must outlive everything that can deliver an
    /// event again.
    fn disorder(&self) -> Option<&'static str> {
        if self.idempotency_keys < 24 * 60 * 60 {
            Some("idempotency keys are promised for 24 hours")
        } else if self.events < self.idempotency_keys {
            Some("events must be kept as long as idempotency keys")
        } else if self.processed_ids <= self.events.max(self.topics).max(self.dead_letters) {
            Some("processed ids must be kept longer than topics, dead letters and events")
        } else {
            None
        }
    }
}

/// Why nothing expires.
pub(crate) enum Failure {
    Configuration(ConfigurationError),
    Database(DatabaseError),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(error) => error.fmt(formatter),
            Self::Database(error) => error.fmt(formatter),
        }
    }
}

impl From<ConfigurationError> for Failure {
    fn from(error: ConfigurationError) -> Self {
        Self::Configuration(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// Makes the partitions that will be needed.
pub(crate) fn prepare(database: &Database) -> Result<(), DatabaseError> {
    let made: i64 = database.call(Call::of("ensure_partitions"))?;
    if made > 0 {
        let fields = json!({"count": made, "outcome": "made"});
        log::line(Level::Info, COMPONENT, "partitions", fields);
    }
    Ok(())
}

/// Deletes what has expired, until nothing is left or the time is up. Returns the number of rows deleted. Deletes
/// nothing while the periods are out of order.
pub(crate) fn expire(database: &Database, until: Instant) -> Result<i64, Failure> {
    #[derive(Deserialize)]
    struct Expired {
        deleted: i64,
        more: bool,
    }
    let periods = Periods::from_configuration()?;
    if let Some(disorder) = periods.disorder() {
        log::line(
            Level::Error,
            COMPONENT,
            "retention refused",
            json!({"error": disorder}),
        );
        return Ok(0);
    }
    let mut total = 0;
    while Instant::now() < until {
        let call = Call::of("expire_rows")
            .integer("most", BATCH)
            .bigint("idempotency_keys_seconds", periods.idempotency_keys)
            .bigint("read_notifications_seconds", periods.read_notifications)
            .bigint("dead_letters_seconds", periods.dead_letters)
            .bigint("events_seconds", periods.events)
            .bigint("processed_ids_seconds", periods.processed_ids)
            .bigint("unread_notifications_seconds", periods.unread_notifications)
            .bigint("analytics_seconds", periods.analytics);
        let Expired { deleted, more } = database.call(call)?;
        total += deleted;
        if !more {
            break;
        }
    }
    while Instant::now() < until {
        let call = Call::of("drop_expired_partition")
            .bigint("events_seconds", periods.events)
            .bigint("processed_ids_seconds", periods.processed_ids);
        let Some(partition) = database.call::<Option<String>>(call)? else {
            break;
        };
        let fields = json!({"partition": partition, "outcome": "dropped"});
        log::line(Level::Info, COMPONENT, "partitions", fields);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn periods() -> Periods {
        Periods {
            topics: 7 * DAY,
            idempotency_keys: DAY,
            read_notifications: 30 * DAY,
            unread_notifications: 365 * DAY,
            analytics: 400 * DAY,
            events: 90 * DAY,
            dead_letters: 90 * DAY,
            processed_ids: 180 * DAY,
        }
    }

    #[test]
    fn the_default_retention_periods_are_in_order() {
        assert_eq!(periods().disorder(), None);
    }

    #[test]
    fn processed_ids_outlive_whatever_delivers_again() {
        for longer in [
            Periods {
                topics: 180 * DAY,
                ..periods()
            },
            Periods {
                events: 180 * DAY,
                ..periods()
            },
            Periods {
                dead_letters: 180 * DAY,
                ..periods()
            },
            Periods {
                idempotency_keys: 91 * DAY,
                ..periods()
            },
            Periods {
                idempotency_keys: DAY - 1,
                ..periods()
            },
        ] {
            assert!(longer.disorder().is_some());
        }
    }
}
