//! Deleting what has been kept long enough, in small batches.

use platform::configuration::{self, ConfigurationError};
use platform::database::{Database, number};
use platform::log::{self, Level};
use platform::problem::Problem;
use serde_json::json;

use crate::COMPONENT;

/// How many rows of each kind a run deletes.
const BATCH: i64 = 500;

/// After how many seconds without a probe a sidecar counts as gone: one that is there probes an open breaker all the time.
const GONE: i64 = 24 * 60 * 60;

/// How long things are kept, in seconds.
struct Periods {
    topics: i64,
    idempotency_keys: i64,
    read_notifications: i64,
    events: i64,
    dead_letters: i64,
    processed_ids: i64,
}

impl Periods {
    fn from_configuration() -> Result<Self, ConfigurationError> {
        let period = |name: &str| configuration::number(&format!("retention_{name}_seconds"));
        Ok(Self {
            topics: period("topics")?,
            idempotency_keys: period("idempotency_keys")?,
            read_notifications: period("read_notifications")?,
            events: period("events")?,
            dead_letters: period("dead_letters")?,
            processed_ids: period("processed_ids")?,
        })
    }

    /// What is wrong with their order, if anything. A key's answer is in its event, so events outlive keys, which last
    /// 24 h at least. Processed ids outlive whatever can deliver an event again.
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

/// Deletes a batch of each kind; the number of rows deleted. Nothing is deleted while the periods are out of order.
pub(crate) fn expire(database: &Database) -> Result<i64, Problem> {
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
    let kinds = [
        (
            "idempotency_keys",
            "true",
            "created_at",
            periods.idempotency_keys,
        ),
        (
            "notifications",
            "read_at IS NOT NULL",
            "read_at",
            periods.read_notifications,
        ),
        // Never what is not yet at the broker, however old.
        (
            "events",
            "sequence <= (SELECT published FROM lanes WHERE lanes.user_id = events.user_id)",
            "time",
            periods.events,
        ),
        (
            "dead_letters",
            "status <> 'open'",
            "resolved_at",
            periods.dead_letters,
        ),
        (
            "reminders",
            "status <> 'scheduled'",
            "updated_at",
            periods.processed_ids,
        ),
        (
            "processed_events",
            "true",
            "processed_at",
            periods.processed_ids,
        ),
        // No row is a closed breaker.
        ("publish_breaker", "true", "probe_at", GONE),
    ];
    let mut deleted = 0;
    for (table, condition, column, seconds) in kinds {
        let statement = format!(
            "WITH expired AS (
                DELETE FROM {table} WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM {table}
                    WHERE {condition} AND {column} < clock_timestamp() - $1::bigint * interval '1 second'
                    ORDER BY {column}
                    LIMIT $2::bigint
                    FOR UPDATE SKIP LOCKED
                ))
                RETURNING 1
            )
            SELECT count(*)::text FROM expired"
        );
        deleted += database.query::<i64>(&statement, &[number(seconds), number(BATCH)])?;
    }
    Ok(deleted)
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
            events: 90 * DAY,
            dead_letters: 90 * DAY,
            processed_ids: 180 * DAY,
        }
    }

    #[test]
    fn the_defaults_are_in_order() {
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
