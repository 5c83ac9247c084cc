//! What the reminder handler and the relay's sweep both do: trigger a reminder, and set its alarm clock.
//!
//! The row in `reminders` is the truth. The Dapr job `reminder-{task_id}` is only its alarm clock: the row holds what
//! it should be set to and what it was last set to, so that whatever a crash interrupts is finished later.

use domain::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::json;
use spin_sdk::http::Method;
use uuid::Uuid;

use crate::breaker::Breaker;
use crate::call::Call;
use crate::database::{Database, DatabaseError};
use crate::log::{self, Level};
use crate::outbox::{Emitted, EventDraft};
use crate::sidecar::{Sidecar, SidecarError};

/// The alarm clock of a reminder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alarm {
    /// The task.
    pub task_id: Uuid,
    /// When it should ring, if at all and within the next hour.
    pub wanted: Option<Timestamp>,
    /// What it was last set to, if at all.
    pub set: Option<Timestamp>,
    /// Whether the breaker lets the handlers call the Jobs API.
    pub may_call: bool,
}

/// Sets an alarm clock that differs from what the row wants. If this fails, the sweep does it later: the row keeps what
/// is wanted.
pub async fn sync_alarm(component: &'static str, alarm: Option<Alarm>) {
    let Some(alarm) = alarm.filter(|alarm| alarm.wanted != alarm.set && alarm.may_call) else {
        return;
    };
    if let (Ok(database), Ok(sidecar)) = (
        Database::from_configuration(),
        Sidecar::from_configuration(),
    ) {
        let reminders = Reminders {
            database: &database,
            sidecar: &sidecar,
            component,
        };
        reminders.put_job(&alarm, false).await;
    }
}

/// Reminders of one deployment.
pub struct Reminders<'a> {
    /// Where the rows are.
    pub database: &'a Database,
    /// What keeps the alarm clocks.
    pub sidecar: &'a Sidecar,
    /// The component's name, for logs.
    pub component: &'static str,
}

/// What became of a reminder whose alarm rang.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AlarmOutcome {
    /// The event `reminder.triggered`, if the reminder was due and the task open.
    pub emitted: Option<Emitted>,
    /// The alarm, to be set again because it rang too early.
    pub alarm: Option<Alarm>,
}

impl Reminders<'_> {
    /// Acts on an alarm that rang, as the reminder's row decides. If the reminder is still scheduled and due (up to 5 s
    /// early counts) and the task is open, the reminder is triggered. If the alarm rang earlier, it is set again. Any
    /// other alarm is ignored.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn fire(&self, task: Uuid, draft: &EventDraft<'_>) -> Result<AlarmOutcome, DatabaseError> {
        let call = Call::of("ring_reminder")
            .uuid("task_id", task)
            .json("outbox", draft.json());
        self.database.call(call)
    }

    /// Sets the alarm clock as the row wants it. Returns whether the scheduler could be reached. `probe`: the breaker
    /// is open, and this call decides whether to close it.
    ///
    /// A rejected alarm counts as set: it would be rejected again, and the sweep triggers the overdue reminder anyway.
    pub async fn put_job(&self, alarm: &Alarm, probe: bool) -> bool {
        let path = format!("/v1.0/jobs/reminder-{}", alarm.task_id);
        let result = match alarm.wanted {
            Some(moment) => {
                let job = json!({
                    "dueTime": moment,
                    // A job without data would never be delivered.
                    "data": {"task_id": alarm.task_id},
                    "overwrite": true,
                    // Retry without a limit: by default the scheduler stops after three tries.
                    "failurePolicy": {"constant": {"interval": "10s"}},
                });
                let headers = [("content-type", "application/json")];
                self.sidecar
                    .call(Method::Post, &path, &headers, job.to_string().as_bytes())
                    .await
            }
            None => self.sidecar.call(Method::Delete, &path, &[], &[]).await,
        };
        let recorded = match &result {
            Ok(()) | Err(SidecarError::Rejected(_)) => self.record(alarm),
            Err(SidecarError::Failed(_)) => self.breaker().failed(probe),
        };
        let error = match (&result, recorded) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(()), Err(error)) => Some(error.to_string()),
            (Ok(()), Ok(())) => None,
        };
        let (level, outcome) = match &result {
            // Success is not logged: a line of output costs more than the call.
            Ok(()) if error.is_none() => return true,
            Ok(()) => (Level::Warn, "set"),
            Err(SidecarError::Failed(_)) => (Level::Warn, "left_to_sweep"),
            Err(SidecarError::Rejected(_)) => (Level::Error, "rejected"),
        };
        let fields = json!({
            "task_id": alarm.task_id, "remind_at": alarm.wanted, "outcome": outcome, "error": error,
        });
        log::line(level, self.component, "alarm", fields);
        !matches!(result, Err(SidecarError::Failed(_)))
    }

    /// The breaker of the scheduler.
    pub fn breaker(&self) -> Breaker<'_> {
        Breaker {
            database: self.database,
            sidecar: self.sidecar.name(),
        }
    }

    /// Records what the clock was set to, unless the row wants something else by now.
    fn record(&self, alarm: &Alarm) -> Result<(), DatabaseError> {
        let call = Call::of("record_alarm")
            .uuid("task_id", alarm.task_id)
            .instant("alarm", alarm.wanted);
        self.database.call(call)
    }
}
