//! Subscriptions that have stalled: events are published and not delivered.
//!
//! A sidecar whose app was unhealthy for a moment subscribes anew, and Dapr 1.18 can then undo the new subscription
//! while it ends the old one (components-contrib issue 4349): a consumer group reads a topic no more, without a word. So
//! the relay watches whether published events reach their handler. Where some do not, and nothing else does, for longer
//! than it can take to read what lies before them, it makes deliveries pause: `/readyz/deliveries` fails long enough for
//! the sidecar to end its subscriptions, and to begin them again after that.

use platform::call::Call;
use platform::database::{Database, DatabaseError};
use platform::log::{self, Level};
use serde_json::json;

use crate::COMPONENT;

/// Events of one topic that one handler claims. The function knows what each holds.
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
