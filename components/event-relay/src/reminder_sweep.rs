//! Reminders whose alarm did not ring, and alarms that are not set as wanted.

use std::time::Instant;

use futures::StreamExt;
use platform::breaker::Permission;
use platform::database::{Database, DatabaseError, number};
use platform::outbox::Outbox;
use platform::publisher::Publisher;
use platform::reminders::{Alarm, Reminders};
use platform::sidecar::Sidecar;
use uuid::Uuid;

use crate::{COMPONENT, SOURCE};

/// How many reminders are looked up at once.
const REMINDERS: i64 = 64;

/// How many users are worked for at once.
const USERS_AT_ONCE: usize = 8;

/// Triggers what is overdue and sets the alarms that are not as wanted; how many it took up.
pub(crate) async fn sweep(
    database: &Database,
    sidecar: &Sidecar,
    until: Instant,
) -> Result<usize, DatabaseError> {
    let reminders = Reminders {
        database,
        sidecar,
        component: COMPONENT,
    };
    let mut count = 0;
    for task in overdue(database)? {
        if Instant::now() >= until {
            return Ok(count);
        }
        let outbox = Outbox::new(SOURCE, None);
        if let Some(emitted) = reminders.ring(task, &outbox)?.emitted {
            let publisher = Publisher {
                database,
                sidecar,
                component: COMPONENT,
                until,
            };
            publisher.publish_emitted(emitted, outbox.lease()).await;
            count += 1;
        }
    }
    Ok(count + set_alarms(&reminders, until).await?)
}

async fn set_alarms(reminders: &Reminders<'_>, until: Instant) -> Result<usize, DatabaseError> {
    let mut alarms = unset_alarms(reminders.database)?;
    let mut count = 0;
    match reminders.breaker().permission()? {
        Permission::Wait => return Ok(0),
        Permission::Call => {}
        Permission::Probe => {
            // The first alarm's outcome decides. Without an alarm there is nothing to fail.
            if let Some(alarm) = alarms.pop() {
                count += 1;
                if !reminders.call(&alarm).await {
                    reminders.breaker().probe_failed()?;
                    return Ok(count);
                }
            }
            reminders.breaker().close()?;
        }
    }
    let mut calls = futures::stream::iter(&alarms)
        .take_while(|_| std::future::ready(Instant::now() < until))
        .map(|alarm| reminders.call(alarm))
        .buffer_unordered(USERS_AT_ONCE);
    while let Some(reached) = calls.next().await {
        count += 1;
        if !reached {
            break;
        }
    }
    Ok(count)
}

/// Tasks with a reminder whose moment has passed long enough ago for its alarm to have rung, and that are still open:
/// the event of one that is not will cancel the reminder.
fn overdue(database: &Database) -> Result<Vec<Uuid>, DatabaseError> {
    database.query(
        "SELECT coalesce(jsonb_agg(task_id ORDER BY remind_at), '[]')::text
        FROM (
            SELECT reminder.task_id, reminder.remind_at
            FROM reminders AS reminder JOIN tasks AS task ON task.id = reminder.task_id
            WHERE reminder.status = 'scheduled'
                AND reminder.remind_at <= clock_timestamp() - interval '5 seconds'
                AND NOT task.completed
            ORDER BY reminder.remind_at
            LIMIT $1::bigint
        ) AS overdue",
        &[number(REMINDERS)],
    )
}

/// Alarms that are not set as wanted, by handlers that had the time to do it.
fn unset_alarms(database: &Database) -> Result<Vec<Alarm>, DatabaseError> {
    database.query(
        "SELECT coalesce(
            jsonb_agg(jsonb_build_object(
                'task_id', task_id, 'wanted', rfc3339(alarm_wanted), 'set', rfc3339(alarm_set), 'may_call', true
            )),
            '[]'
        )::text
        FROM (
            SELECT task_id, alarm_wanted, alarm_set
            FROM reminders
            WHERE alarm_wanted IS DISTINCT FROM alarm_set
                AND updated_at <= clock_timestamp() - interval '10 seconds'
            ORDER BY updated_at
            LIMIT $1::bigint
        ) AS unset",
        &[number(REMINDERS)],
    )
}
