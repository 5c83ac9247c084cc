//! When a task is to be reminded of.

use serde::Deserialize;
use uuid::Uuid;

use crate::event::{EventType, MalformedEvent, ReceivedEvent};
use crate::timestamp::Timestamp;
use crate::user_id::UserId;

/// How early a job may fire and still count as due, in seconds.
pub const EARLY_SECONDS: i64 = 5;

/// What an event wants a task's reminder to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedReminder {
    /// The task.
    pub task_id: Uuid,
    /// Its owner.
    pub user_id: UserId,
    /// When the task is due; none where the event does not say or it is not.
    pub due_date: Option<Timestamp>,
    /// The moment, or why there is none.
    pub moment: Result<Timestamp, NoReminder>,
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
    /// The due date is not further away than the lead time.
    DueTooSoon,
    /// The event is handled after the due date.
    DueDatePassed,
}

impl NoReminder {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Completed,
        Self::Skipped,
        Self::Deleted,
        Self::NoDueDate,
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
}

#[derive(Deserialize)]
struct DeletedTask {
    task_id: Uuid,
    user_id: UserId,
}

/// What a `task.*` event wants the task's reminder to be, or none for any other event.
///
/// A task due more than `lead_seconds` after the event has one reminder, that long before. Handled at `now`, later
/// than that moment but not than the due date, it is still wanted: it triggers at once.
///
/// # Errors
///
/// When the event's data does not fit its type.
pub fn wanted_reminder(
    event: &ReceivedEvent,
    now: Timestamp,
    lead_seconds: i64,
) -> Result<Option<WantedReminder>, MalformedEvent> {
    let is = |event_type: EventType| event.event_type == event_type.as_str();
    if is(EventType::TaskDeleted) {
        let task: DeletedTask = event.data()?;
        return Ok(Some(WantedReminder {
            task_id: task.task_id,
            user_id: task.user_id,
            due_date: None,
            moment: Err(NoReminder::Deleted),
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
    let moment = match task.due_date {
        _ if task.completed => Err(NoReminder::Completed),
        _ if task.skipped_at.is_some() => Err(NoReminder::Skipped),
        None => Err(NoReminder::NoDueDate),
        Some(due_date) => moment(due_date, event.time, now, lead_seconds),
    };
    Ok(Some(WantedReminder {
        task_id: task.task_id,
        user_id: task.user_id,
        due_date: task.due_date,
        moment,
    }))
}

fn moment(
    due_date: Timestamp,
    event_time: Timestamp,
    now: Timestamp,
    lead_seconds: i64,
) -> Result<Timestamp, NoReminder> {
    let lead_micros = lead_seconds.saturating_mul(1_000_000);
    let remind_at = due_date.unix_micros().saturating_sub(lead_micros);
    if remind_at <= event_time.unix_micros() {
        Err(NoReminder::DueTooSoon)
    } else if due_date <= now {
        Err(NoReminder::DueDatePassed)
    } else {
        Timestamp::from_unix_micros(remind_at).map_err(|_| NoReminder::DueTooSoon)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const DAY: i64 = 86_400;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn event(event_type: &str, data: Value) -> ReceivedEvent {
        let mut data = data;
        data["task_id"] = json!(Uuid::nil());
        data["user_id"] = json!("alice");
        let event = json!({
            "specversion": "1.0", "id": Uuid::nil(), "type": event_type, "time": "2026-01-01T12:00:00Z",
            "sequence": "00000000000000000001", "data": data,
        });
        ReceivedEvent::parse(event.to_string().as_bytes()).unwrap()
    }

    fn moment_of(event_type: &str, data: Value, now: &str) -> Result<Timestamp, NoReminder> {
        wanted_reminder(&event(event_type, data), at(now), DAY)
            .unwrap()
            .unwrap()
            .moment
    }

    #[test]
    fn a_task_due_later_than_the_lead_is_reminded_of_that_long_before() {
        let data = json!({"completed": false, "due_date": "2026-01-05T09:00:00Z"});
        for event_type in ["task.created", "task.updated"] {
            let moment = moment_of(event_type, data.clone(), "2026-01-01T12:00:01Z");
            assert_eq!(moment, Ok(at("2026-01-04T09:00:00Z")));
        }
    }

    #[test]
    fn exactly_the_lead_away_is_too_soon() {
        let due = |due: &str| json!({"completed": false, "due_date": due});
        let now = "2026-01-01T12:00:00Z";
        assert_eq!(
            moment_of("task.created", due("2026-01-02T12:00:00Z"), now),
            Err(NoReminder::DueTooSoon)
        );
        assert!(moment_of("task.created", due("2026-01-02T12:00:00.000001Z"), now).is_ok());
    }

    #[test]
    fn handled_late_it_is_wanted_until_the_due_date() {
        let data = json!({"completed": false, "due_date": "2026-01-05T09:00:00Z"});
        let moment = |now: &str| moment_of("task.created", data.clone(), now);
        assert_eq!(
            moment("2026-01-05T08:59:59Z"),
            Ok(at("2026-01-04T09:00:00Z"))
        );
        assert_eq!(
            moment("2026-01-05T09:00:00Z"),
            Err(NoReminder::DueDatePassed)
        );
    }

    #[test]
    fn tasks_that_are_over_or_never_due_have_none() {
        let now = "2026-01-01T12:00:00Z";
        let due = "2026-01-05T09:00:00Z";
        let completed = json!({"completed": true, "due_date": due});
        assert_eq!(
            moment_of("task.completed", completed.clone(), now),
            Err(NoReminder::Completed)
        );
        assert_eq!(
            moment_of("task.updated", completed, now),
            Err(NoReminder::Completed)
        );
        let skipped = json!({"completed": false, "skipped_at": now, "due_date": due});
        assert_eq!(
            moment_of("task.skipped", skipped.clone(), now),
            Err(NoReminder::Skipped)
        );
        assert_eq!(
            moment_of("task.updated", skipped, now),
            Err(NoReminder::Skipped)
        );
        let dateless = json!({"completed": false, "due_date": null});
        assert_eq!(
            moment_of("task.updated", dateless, now),
            Err(NoReminder::NoDueDate)
        );
        assert_eq!(
            moment_of("task.deleted", json!({}), now),
            Err(NoReminder::Deleted)
        );
    }

    #[test]
    fn other_events_say_nothing_about_reminders() {
        for event_type in ["reminder.triggered", "reminder.scheduled", "task.archived"] {
            assert_eq!(
                wanted_reminder(
                    &event(event_type, json!({})),
                    at("2026-01-01T12:00:00Z"),
                    DAY
                ),
                Ok(None)
            );
        }
        let without_due_date = event("task.created", json!({"completed": "no"}));
        assert!(wanted_reminder(&without_due_date, at("2026-01-01T12:00:00Z"), DAY).is_err());
    }

    proptest! {
        #[test]
        fn a_moment_lies_between_the_event_and_the_due_date(
            due in 0i64..200_000_000_000_000_000, time in 0i64..200_000_000_000_000_000,
            now in 0i64..200_000_000_000_000_000, lead in 1i64..10_000_000,
        ) {
            let [due, time, now] = [due, time, now].map(|micros| Timestamp::from_unix_micros(micros).unwrap());
            match moment(due, time, now, lead) {
                Ok(moment) => {
                    prop_assert!(time < moment && moment < due && now < due);
                    prop_assert_eq!(due.unix_micros() - moment.unix_micros(), lead * 1_000_000);
                }
                Err(reason) => prop_assert!(
                    reason == NoReminder::DueTooSoon && due.unix_micros() - time.unix_micros() <= lead * 1_000_000
                        || reason == NoReminder::DueDatePassed && due <= now
                ),
            }
        }
    }
}
