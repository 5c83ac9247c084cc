//! Subscriptions that have stalled: events are published and not delivered.
//!
//! If the app was unhealthy for a moment, its sidecar subscribes again. Dapr 1.18 can then undo the new subscription
//! while it ends the old one (components-contrib issue 4349), and a consumer group silently stops reading a topic. So
//! the relay watches whether published events reach their handler. If an event does not, and no other event does
//! either, for longer than reading the events before it can take, the relay makes deliveries pause:
//! `/readyz/deliveries` fails until the sidecar has ended its subscriptions; then the sidecar subscribes again.

use platform::call::Call;
use platform::database::{Database, DatabaseError};
use platform::log::{self, Level};
use serde_json::json;

use crate::COMPONENT;

/// Events of one topic that one handler claims. The database function defines each stream.
const STREAMS: [&str; 3] = ["recurrence", "reminder", "notification"];

/// Looks at every stream, and makes deliveries pause where one has stalled.
pub(crate) fn watch(database: &Database) -> Result<(), DatabaseError> {
    for stream in STREAMS {
        if database.call::<bool>(Call::of("watch_deliveries").text("stream", stream))? {
            let fields = json!({"stream": stream, "outcome": "resubscribing"});
            log::line(Level::Warn, COMPONENT, "subscription stalled", fields);
        }
    }
    Ok(())
}
