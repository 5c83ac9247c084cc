//! Publishing what is still unpublished.

use std::time::Instant;

use futures::StreamExt;
use platform::breaker::Permission;
use platform::database::{Database, DatabaseError, number};
use platform::publisher::{Publisher, Turn};
use platform::sidecar::Sidecar;

use crate::COMPONENT;

/// How many users are worked for at once.
const USERS_AT_ONCE: usize = 8;

/// How many lanes are looked up at once.
const LANES: i64 = 64;

/// Publishes lane by lane until nothing is left or the time is up; the number of lanes taken up.
pub(crate) async fn publish_rest(
    database: &Database,
    sidecar: &Sidecar,
    until: Instant,
) -> Result<usize, DatabaseError> {
    let publisher = Publisher {
        database,
        sidecar,
        component: COMPONENT,
        until,
    };
    let breaker = publisher.breaker();
    let permission = breaker.permission()?;
    if permission == Permission::Wait {
        return Ok(0);
    }
    let mut lanes = lanes_behind(database)?;
    let mut count = 0;
    if permission == Permission::Probe {
        // The first lane's outcome decides. Without a lane there is nothing to fail.
        if let Some(user) = lanes.pop() {
            count += 1;
            if publisher.publish_rest(&user).await == Turn::Failed {
                breaker.probe_failed()?;
                return Ok(count);
            }
        }
        breaker.close()?;
    }
    while !lanes.is_empty() && Instant::now() < until {
        let mut turns = futures::stream::iter(&lanes)
            .take_while(|_| std::future::ready(Instant::now() < until))
            .map(|user| publisher.publish_rest(user))
            .buffer_unordered(USERS_AT_ONCE);
        while let Some(turn) = turns.next().await {
            count += 1;
            if turn == Turn::Failed {
                // The breaker is open now.
                return Ok(count);
            }
        }
        drop(turns);
        lanes = lanes_behind(database)?;
    }
    Ok(count)
}

/// The users of lanes that have something to publish and that nobody is publishing. In random order, so that a lane
/// that always fails is not the only one ever to be probed with.
fn lanes_behind(database: &Database) -> Result<Vec<String>, DatabaseError> {
    database.query(
        "SELECT coalesce(jsonb_agg(user_id ORDER BY random()), '[]')::text
        FROM (
            SELECT user_id
            FROM lanes
            WHERE published < head
                AND coalesce(leased_until <= clock_timestamp(), true)
                AND coalesce(blocked_until <= clock_timestamp(), true)
            LIMIT $1::bigint
        ) AS behind",
        &[number(LANES)],
    )
}
