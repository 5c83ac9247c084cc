//! When a task is to be reminded of.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::duration::Duration;
use crate::event::{EventType, MalformedEvent, ReceivedEvent};
use crate::task::InvalidValue;
use crate::timestamp::Timestamp;
use crate::user_id::UserId;

/// One reminder of a task, in JSON `{"before": "PT30M"}` or `{"at": "2026-01-31T08:30:00Z"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reminder {
    /// This long before the due date.
    Before(Duration),
    /// At this instant.
    At(Timestamp),
}

/// Up to [`Reminders::MOST`] reminders of a task, in the order given, each once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Reminder>")]
pub struct Reminders(Vec<Reminder>);

impl Reminders {
    /// How many a task may have.
    pub const MOST: usize = 5;

    /// Whether the user wants no reminder.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same reminders for a task that is due `micros` microseconds later: instants move with the due date. An
    /// instant that a timestamp cannot hold is left out.
    #[must_use]
    pub fn moved(self, by: i64) -> Self {
        let moved = |reminder| match reminder {
            Reminder::At(instant) => {
                let micros = instant.unix_micros().saturating_add(by);
                Timestamp::from_unix_micros(micros).ok().map(Reminder::At)
            }
            before @ Reminder::Before(_) => Some(before),
        };
        Self(self.0.into_iter().filter_map(moved).collect())
    }

    /// The moments of the reminders of a task with this due date, in order, each once.
    fn moments(&self, due_date: Timestamp) -> Vec<Timestamp> {
        let moment = |reminder: &Reminder| match reminder {
            Reminder::At(instant) => Some(*instant),
            Reminder::Before(duration) => before(due_date, i64::from(duration.seconds())),
        };
        let mut moments: Vec<Timestamp> = self.0.iter().filter_map(moment).collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }
}

impl TryFrom<Vec<Reminder>> for Reminders {
    type Error = InvalidValue;

    fn try_from(reminders: Vec<Reminder>) -> Result<Self, InvalidValue> {
        if reminders.len() > Self::MOST {
            return Err(InvalidValue::new(format!(
                "must have at most {} reminders",
                Self::MOST
            )));
        }
        let mut distinct: Vec<Reminder> = Vec::with_capacity(reminders.len());
        for reminder in reminders {
            if !distinct.contains(&reminder) {
                distinct.push(reminder);
            }
        }
        Ok(Self(distinct))
    }
}

/// The instant `seconds` before another; `None` if it lies before the year 0001.
fn before(instant: Timestamp, seconds: i64) -> Option<Timestamp> {
    let micros = seconds.saturating_mul(1_000_000);
    Timestamp::from_unix_micros(instant.unix_micros().saturating_sub(micros)).ok()
}

/// What an event wants a task's reminders to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedReminders {
    /// The task.
    pub task_id: Uuid,
    /// Its owner.
    pub user_id: UserId,
    /// When the task is due; `None` if it has no due date or the event does not say.
    pub due_date: Option<Timestamp>,
    /// The moments, in order, each once, or why there is none.
    pub moments: Result<Vec<Timestamp>, NoReminder>,
}

/// Why a task has no reminder; the `reason` of `reminder.cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReminder {
    /// The task is completed.
    Completed,
    /// The task is skipped.
    Skipped,
    /// The task is deleted.
    Deleted,
    /// The task has no due date.
    NoDueDate,
    /// The user wants none.
    NoneWanted,
    /// Every moment had come when the task was written.
    DueTooSoon,
    /// The event is handled after the due date.
    DueDatePassed,
}

impl NoReminder {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::Skipped,
        Self::Deleted,
        Self::NoDueDate,
        Self::NoneWanted,
        Self::DueTooSoon,
        Self::DueDatePassed,
    ];

    /// The reason's name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Deleted => "deleted",
            Self::NoDueDate => "no_due_date",
            Self::NoneWanted => "none_wanted",
            Self::DueTooSoon => "due_too_soon",
            Self::DueDatePassed => "due_date_passed",
        }
    }
}

#[derive(Deserialize)]
struct KeptTask {
    task_id: Uuid,
    user_id: UserId,
    completed: bool,
    #[serde(default)]
    skipped_at: Option<Timestamp>,
    due_date: Option<Timestamp>,
    #[serde(default)]
    reminders: Option<Reminders>,
}

#[derive(Deserialize)]
struct DeletedTask {
    task_id: Uuid,
    user_id: UserId,
}

/// What a `task.*` event wants the task's reminders to be; `None` for any other event.
///
/// A reminder whose moment had passed when the event happened is not wanted. A task without `reminders` has one,
/// `lead_seconds` before its due date. If the event is handled (at `now`) after that moment, but before the due date,
/// the reminder is still wanted and triggers at once. The user's own reminders trigger even after the due date.
///
/// # Errors
///
/// When the event's data does not fit its type.
pub fn wanted_reminders(
    event: &ReceivedEvent,
    now: Timestamp,
    lead_seconds: i64,
) -> Result<Option<WantedReminders>, MalformedEvent> {
    let is = |event_type: EventType| event.event_type == event_type.as_str();
    if is(EventType::TaskDeleted) {
        let task: DeletedTask = event.data()?;
        return Ok(Some(WantedReminders {
            task_id: task.task_id,
            user_id: task.user_id,
            due_date: None,
            moments: Err(NoReminder::Deleted),
        }));
    }
    let keeps_the_task = [
        EventType::TaskCreated,
        EventType::TaskUpdated,
        EventType::TaskCompleted,
        EventType::TaskSkipped,
    ];
    if !keeps_the_task.into_iter().any(is) {
        return Ok(None);
    }
    let task: KeptTask = event.data()?;
    let moments = match task.due_date {
        _ if task.completed => Err(NoReminder::Completed),
        _ if task.skipped_at.is_some() => Err(NoReminder::Skipped),
        None => Err(NoReminder::NoDueDate),
        Some(due_date) => match &task.reminders {
            Some(own) if own.is_empty() => Err(NoReminder::NoneWanted),
            Some(own) => ahead_of(event.time, own.moments(due_date)),
            None => {
                let moment = before(due_date, lead_seconds);
                let moments = ahead_of(event.time, moment.into_iter().collect());
                if moments.is_ok() && due_date <= now {
                    Err(NoReminder::DueDatePassed)
                } else {
                    moments
                }
            }
        },
    };
    Ok(Some(WantedReminders {
        task_id: task.task_id,
        user_id: task.user_id,
        due_date: task.due_date,
        moments,
    }))
}

/// The moments after an instant.
fn ahead_of(instant: Timestamp, mut moments: Vec<Timestamp>) -> Result<Vec<Timestamp>, NoReminder> {
    moments.retain(|moment| *moment > instant);
    if moments.is_empty() {
        Err(NoReminder::DueTooSoon)
    } else {
        Ok(moments)
    }
}

#[cfg(test)]
mod tests;
