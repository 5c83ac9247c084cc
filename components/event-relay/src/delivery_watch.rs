//! Subscriptions that have fallen asleep.
//!
//! A sidecar whose app was unhealthy for a moment subscribes anew, and Dapr 1.18 can then undo the new subscription
//! while it ends the old one (components-contrib issue 4349): a consumer group reads a topic no more, without a word. So
//! the relay watches whether published events reach their handler. Where the oldest that did not stays the same while
//! nothing else arrives, it makes deliveries pause: `/readyz/deliveries` fails long enough for the sidecar to end its
//! subscriptions, and to begin them again after that.

use platform::database::{Database, DatabaseError, text};
use platform::log::{self, Level};
use serde_json::json;
use spin_sdk::pg4::ParameterValue;

use crate::COMPONENT;

/// Events of one topic that one handler claims: the stream's name, the handler, the types, and whether only the events
/// of recurring tasks are claimed.
const STREAMS: [(&str, &str, &[&str], bool); 3] = [
    ("recurrence", "recurrence", &["task.completed"], true),
    (
        "reminder",
        "reminder",
        &[
            "task.created",
            "task.updated",
            "task.completed",
            "task.deleted",
        ],
        false,
    ),
    ("notification", "reminder", &["reminder.triggered"], false),
];

/// Looks at a stream: `$1` its name, `$2` handler, `$3` types, `$4` whether only recurring tasks count. True if it makes
/// deliveries pause.
///
/// An event counts as missing 15 s after it was committed, if it is published and neither claimed nor a dead letter;
/// for 2 minutes, which bounds what is looked at. Deliveries pause for 3 s, longer than the sidecar takes to notice, and
/// again after 20 s at the earliest.
const WATCH: &str = "
WITH missing AS (
    SELECT event.id
    FROM events AS event JOIN lanes ON lanes.user_id = event.user_id
    WHERE NOT EXISTS (
            SELECT FROM processed_events AS lately JOIN events AS claimed ON claimed.id = lately.event_id
            WHERE lately.handler = $2
                AND lately.processed_at > clock_timestamp() - interval '10 seconds'
                AND claimed.type = ANY ($3)
        )
        AND event.time > clock_timestamp() - interval '2 minutes'
        AND event.time < clock_timestamp() - interval '15 seconds'
        AND event.type = ANY ($3)
        AND (NOT $4 OR event.data -> 'is_recurring' = 'true')
        AND event.sequence <= lanes.published
        AND NOT EXISTS (
            SELECT FROM processed_events AS claimed WHERE claimed.handler = $2 AND claimed.event_id = event.id
        )
        AND NOT EXISTS (SELECT FROM dead_letters AS letter WHERE letter.event_id = event.id::text)
    ORDER BY event.time
    LIMIT 1
), watched AS (
    INSERT INTO delivery_watch AS watch (stream, event_id, since)
    SELECT $1, id, clock_timestamp() FROM missing
    ON CONFLICT (stream) DO UPDATE SET
        event_id = excluded.event_id,
        since = CASE WHEN watch.event_id = excluded.event_id THEN watch.since ELSE excluded.since END,
        pause_until = CASE
            WHEN watch.event_id = excluded.event_id
                AND watch.since < clock_timestamp() - interval '10 seconds'
                AND coalesce(watch.pause_until < clock_timestamp() - interval '20 seconds', true)
            THEN clock_timestamp() + interval '3 seconds'
            ELSE watch.pause_until
        END
    RETURNING coalesce(pause_until > clock_timestamp() + interval '2 seconds', false) AS pauses
)
SELECT coalesce((SELECT pauses FROM watched), false)::text";

/// Looks at every stream, and makes deliveries pause where one has fallen asleep.
pub(crate) fn watch(database: &Database) -> Result<(), DatabaseError> {
    for (stream, handler, types, only_recurring) in STREAMS {
        let types = types.iter().map(|name| Some((*name).to_owned())).collect();
        let parameters = [
            text(stream),
            text(handler),
            ParameterValue::ArrayStr(types),
            ParameterValue::Boolean(only_recurring),
        ];
        if database.query::<bool>(WATCH, &parameters)? {
            let fields = json!({"stream": stream, "outcome": "subscribing_anew"});
            log::line(Level::Warn, COMPONENT, "deliveries asleep", fields);
        }
    }
    Ok(())
}
