//! What the reminder handler and the relay's sweep both do: trigger a reminder, and set its alarm clock.
//!
//! The row in `reminders` is the truth. The Dapr job `reminder-{task_id}` is only its alarm clock: the row holds what
//! it should be set to and what it was last set to, so that whatever a crash interrupts is finished later.

use domain::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::json;
use spin_sdk::http::Method;
use uuid::Uuid;

use crate::breaker::{Breaker, Dependency};
use crate::database::{Database, DatabaseError, optional_text, text};
use crate::log::{self, Level};
use crate::outbox::{EMITTED, Emitted, Outbox};
use crate::sidecar::{Sidecar, SidecarError};

/// The expression that describes the alarm of the row `reminder`: an [`Alarm`] as JSON. `$5` is the sidecar's name.
pub const ALARM: &str = "jsonb_build_object(
    'task_id', (reminder).task_id,
    'wanted', rfc3339((reminder).alarm_wanted),
    'set', rfc3339((reminder).alarm_set),
    'may_call', NOT EXISTS (
        SELECT FROM publish_breaker WHERE sidecar = $5 AND dependency = 'jobs' AND failures > 0
    )
)";

/// The alarm clock of a reminder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alarm {
    /// The task.
    pub task_id: Uuid,
    /// When it should ring, if at all.
    pub wanted: Option<Timestamp>,
    /// What it was last set to, if at all.
    pub set: Option<Timestamp>,
    /// Whether the breaker lets the handlers call the Jobs API.
    pub may_call: bool,
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
#[derive(Debug, Deserialize)]
pub struct Rung {
    /// The event `reminder.triggered`, if the reminder was due and the task open.
    pub emitted: Option<Emitted>,
    /// The alarm, to be set again because it rang too early.
    pub alarm: Option<Alarm>,
}

impl Reminders<'_> {
    /// Lets the row decide what an alarm that rang means: it triggers a reminder that is still scheduled and due (up to
    /// 5 s early counts) and whose task is open; one that rang earlier is to be set again; any other means nothing.
    ///
    /// # Errors
    ///
    /// When the database gives no answer.
    pub fn ring(&self, task: Uuid, outbox: &Outbox<'_>) -> Result<Rung, DatabaseError> {
        let statement = format!(
            "WITH current AS (
                SELECT reminder AS was
                FROM reminders AS reminder
                WHERE task_id = $6::text::uuid AND status = 'scheduled'
                FOR UPDATE
            ), due AS (
                SELECT was FROM current
                WHERE (was).remind_at <= clock_timestamp() + interval '5 seconds'
            ), open AS (
                SELECT due.was, task.title
                FROM due, tasks AS task
                WHERE task.id = (due.was).task_id AND NOT task.completed
                FOR SHARE OF task
            ), triggered AS (
                UPDATE reminders AS reminder SET
                    status = 'triggered', alarm_wanted = NULL, alarm_set = NULL, updated_at = clock_timestamp()
                FROM open
                WHERE reminder.task_id = (open.was).task_id
                RETURNING reminder, open.title
            ), early AS (
                UPDATE reminders AS reminder SET alarm_set = NULL, updated_at = clock_timestamp()
                FROM current
                WHERE reminder.task_id = (current.was).task_id AND NOT EXISTS (SELECT FROM due)
                RETURNING reminder
            ), change AS (
                SELECT
                    (reminder).user_id,
                    (reminder).task_id,
                    'reminder.triggered' AS type,
                    'reminders' AS topic,
                    jsonb_build_object(
                        'task_id', (reminder).task_id,
                        'user_id', (reminder).user_id,
                        'task_title', title,
                        'due_date', rfc3339((reminder).due_date),
                        'remind_at', rfc3339((reminder).remind_at)
                    ) AS data
                FROM triggered
            )
            SELECT jsonb_build_object('emitted', {EMITTED}, 'alarm', (SELECT {ALARM} FROM early))::text"
        );
        self.database.query(
            &statement,
            &outbox.parameters(self.sidecar.name(), [text(task)]),
        )
    }

    /// Sets the alarm clock as wanted, if it is not and the breaker is closed. What fails here is left to the sweep.
    pub async fn set(&self, alarm: &Alarm) {
        if alarm.wanted != alarm.set && alarm.may_call {
            self.call(alarm).await;
        }
    }

    /// Sets the alarm clock as wanted; whether the scheduler can be reached.
    ///
    /// What it rejects counts as set: it would be rejected again, and the sweep triggers what is overdue all the same.
    pub async fn call(&self, alarm: &Alarm) -> bool {
        let path = format!("/v1.0/jobs/reminder-{}", alarm.task_id);
        let result = match alarm.wanted {
            Some(moment) => {
                let job = json!({
                    "dueTime": moment,
                    // A job without data would never be delivered.
                    "data": {"task_id": alarm.task_id},
                    "overwrite": true,
                    // Without a limit: the default gives up after three tries.
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
            Err(SidecarError::Failed(_)) => self.breaker().open(),
        };
        let error = match (&result, recorded) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(()), Err(error)) => Some(error.to_string()),
            (Ok(()), Ok(())) => None,
        };
        let (level, outcome) = match &result {
            Ok(()) => (Level::Debug, "set"),
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
            dependency: Dependency::Jobs,
        }
    }

    /// Records what the clock was set to, unless something else is wanted by now.
    fn record(&self, alarm: &Alarm) -> Result<(), DatabaseError> {
        self.database.query(
            "WITH recorded AS (
                UPDATE reminders SET alarm_set = $2::text::timestamptz
                WHERE task_id = $1::text::uuid AND alarm_wanted IS NOT DISTINCT FROM $2::text::timestamptz
            )
            SELECT 'null'",
            &[text(alarm.task_id), optional_text(alarm.wanted.map(|moment| moment.to_string()))],
        )
    }
}
