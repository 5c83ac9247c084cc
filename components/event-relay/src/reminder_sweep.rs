//! Reminders whose alarm did not ring, and alarms that are not set as wanted.

use std::time::Instant;

use futures::StreamExt;
use platform::breaker::Permission;
use platform::call::Call;
use platform::database::{Database, DatabaseError};
use platform::log::{self, Level};
use platform::outbox::EventDraft;
use platform::reminders::{Alarm, Reminders};
use serde_json::json;
use uuid::Uuid;

use crate::COMPONENT;

/// How many reminders are looked up at once.
const REMINDERS: u32 = 100;

/// How many alarms are set at once.
const CALLS_AT_ONCE: usize = 16;

/// Triggers overdue reminders and returns their number. Their events are queued for the publisher.
pub(crate) fn trigger_overdue(
    reminders: &Reminders<'_>,
    until: Instant,
) -> Result<usize, DatabaseError> {
    let mut count = 0;
    while Instant::now() < until {
        let call = Call::of("overdue_reminders").integer("most", REMINDERS);
        let overdue: Vec<Uuid> = reminders.database.call(call)?;
        let mut progress = false;
        for task in &overdue {
            if Instant::now() >= until {
                return Ok(count);
            }
            let draft = EventDraft::new(reminders.sidecar.name()).queued();
            match reminders.fire(*task, &draft) {
                Ok(rung) => {
                    if rung.emitted.is_some() {
                        count += 1;
                        progress = true;
                    }
                }
                // A failure of one row must not hold up the others.
                Err(DatabaseError::Unavailable(reason)) => {
                    return Err(DatabaseError::Unavailable(reason));
                }
                Err(error) => rest(reminders.database, *task, &error)?,
            }
        }
        if !progress || overdue.len() < REMINDERS as usize {
            break;
        }
    }
    Ok(count)
}

fn rest(database: &Database, task: Uuid, error: &DatabaseError) -> Result<(), DatabaseError> {
    let fields = json!({"task_id": task, "outcome": "rests", "error": error.to_string()});
    log::line(Level::Error, COMPONENT, "reminder", fields);
    database.call(Call::of("rest_reminder").uuid("task_id", task))
}

/// Sets the alarms that differ from what their rows want, and returns how many it began. If the scheduler cannot be
/// reached, it begins no further alarm.
pub(crate) async fn set_alarms(
    reminders: &Reminders<'_>,
    until: Instant,
) -> Result<usize, DatabaseError> {
    let mut count = 0;
    while Instant::now() < until {
        let call = Call::of("unset_alarms")
            .text("sidecar", reminders.sidecar.name())
            .integer("most", REMINDERS);
        let mut alarms: Vec<Alarm> = reminders.database.call(call)?;
        if alarms.is_empty() {
            return Ok(count);
        }
        match reminders.breaker().permission()? {
            Permission::Wait => return Ok(count),
            Permission::Call => {}
            Permission::Probe => {
                // A probe: the outcome of one alarm decides.
                if let Some(alarm) = alarms.pop() {
                    count += 1;
                    if !reminders.put_job(&alarm, true).await {
                        return Ok(count);
                    }
                }
                reminders.breaker().close()?;
            }
        }
        let found = alarms.len();
        let reachable = std::cell::Cell::new(true);
        let reached: Vec<bool> = futures::stream::iter(&alarms)
            .take_while(|_| std::future::ready(reachable.get() && Instant::now() < until))
            .map(|alarm| async {
                let reached = reminders.put_job(alarm, false).await;
                reachable.set(reachable.get() && reached);
                reached
            })
            .buffer_unordered(CALLS_AT_ONCE)
            .collect()
            .await;
        count += reached.len();
        if !reachable.get() || found < REMINDERS as usize {
            break;
        }
    }
    Ok(count)
}
