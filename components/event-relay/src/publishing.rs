//! Publishing what is still unpublished.

use std::time::Instant;

use platform::call::Call;
use platform::database::{Database, DatabaseError};
use platform::publisher::Publisher;
use platform::sidecar::Sidecar;

use crate::COMPONENT;

/// Publishes like a write does, until nothing is left or the time is up. Returns the number of events published: none
/// if the sidecar has a publisher already, or rests.
pub(crate) async fn publish_rest(
    database: &Database,
    sidecar: &Sidecar,
    until: Instant,
) -> Result<usize, DatabaseError> {
    let publisher = Publisher {
        database,
        sidecar,
        component: COMPONENT,
    };
    if Instant::now() >= until {
        return Ok(0);
    }
    Ok(match publisher.take_over()? {
        Some(publishing) => publisher.publish(publishing, Some(until)).await,
        None => 0,
    })
}

/// Looks after the rows of publishers, once a minute. Returns whether a minute had passed.
pub(crate) fn tend(database: &Database, sidecar: &Sidecar) -> Result<bool, DatabaseError> {
    database.call(Call::of("tend_publishers").text("sidecar", sidecar.name()))
}
