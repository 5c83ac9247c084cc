//! The next instance of a recurring task.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::MalformedEvent;
use crate::task::{Description, Interval, Priority, Tags, TimeZoneName, Title};
use crate::timestamp::Timestamp;
use crate::user_id::UserId;

/// The task in a `task.completed` event, as it was when it was completed.
#[derive(Debug, Clone, Deserialize)]
pub struct CompletedTask {
    /// The task.
    pub task_id: Uuid,
    /// Its owner.
    pub user_id: UserId,
    /// What is to be done.
    pub title: Title,
    /// More about it.
    pub description: Option<Description>,
    /// How urgent it is.
    pub priority: Priority,
    /// Labels.
    pub tags: Tags,
    /// When it was due.
    pub due_date: Option<Timestamp>,
    /// The zone whose wall clock its due date follows.
    pub timezone: TimeZoneName,
    /// Whether a next instance follows.
    pub is_recurring: bool,
    /// How far apart instances are.
    pub recurring_interval: Option<Interval>,
    /// The first task of the series.
    pub series_id: Uuid,
    /// The task's number in the series, from 1.
    pub occurrence: i32,
    /// The day of the month, 1 to 31, that a monthly series aims at.
    pub anchor_day: Option<u8>,
    /// When it was completed.
    pub completed_at: Timestamp,
}

/// The task that follows a completed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Successor {
    /// As before.
    pub title: Title,
    /// As before.
    pub description: Option<Description>,
    /// As before.
    pub priority: Priority,
    /// As before.
    pub tags: Tags,
    /// One interval after the completed task's due date, or after its completion where it had none.
    pub due_date: Timestamp,
    /// As before.
    pub timezone: TimeZoneName,
    /// Always true.
    pub is_recurring: bool,
    /// As before.
    pub recurring_interval: Interval,
    /// As before.
    pub series_id: Uuid,
    /// One more than before.
    pub occurrence: i32,
    /// As before; the day of the completion where the completed task had no due date.
    pub anchor_day: u8,
}

/// What follows a completed task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it does not recur.
    Nothing,
    /// Nothing any more: the next instance would be after the last year that is counted.
    EndOfTime,
    /// This task.
    Successor(Successor),
}

/// What the rules need to know about dates in time zones. Instants are in microseconds since the Unix epoch.
pub trait Calendar {
    /// The day of the month, 1 to 31, of an instant in a zone; a reason where there is none.
    fn day_of_month(&self, instant: i64, time_zone: &str) -> Result<u8, String>;

    /// The instant one interval after `due` in a zone, or none where that is after the end of the calendar; a reason
    /// where the question makes no sense.
    fn next(
        &self,
        due: i64,
        interval: Interval,
        time_zone: &str,
        anchor_day: u8,
    ) -> Result<Option<i64>, String>;
}

impl CompletedTask {
    /// The task that follows this one. A series that reaches the end of the calendar ends there.
    ///
    /// # Errors
    ///
    /// When the event contradicts itself.
    pub fn successor(self, calendar: &impl Calendar) -> Result<Next, MalformedEvent> {
        if !self.is_recurring {
            return Ok(Next::Nothing);
        }
        let malformed = |reason: String| MalformedEvent::new(reason);
        let interval = self
            .recurring_interval
            .ok_or_else(|| MalformedEvent::new("a recurring task has no interval"))?;
        let zone = self.timezone.as_str();
        let base = self.due_date.unwrap_or(self.completed_at).unix_micros();
        let anchor_day = match self.anchor_day {
            Some(day) if self.due_date.is_some() => day,
            _ => calendar.day_of_month(base, zone).map_err(malformed)?,
        };
        let next = calendar
            .next(base, interval, zone, anchor_day)
            .map_err(malformed)?
            .and_then(|next| Timestamp::from_unix_micros(next).ok());
        let Some(due_date) = next else {
            return Ok(Next::EndOfTime);
        };
        let occurrence = self
            .occurrence
            .checked_add(1)
            .ok_or_else(|| MalformedEvent::new("the series has no next number"))?;
        Ok(Next::Successor(Successor {
            due_date,
            title: self.title,
            description: self.description,
            priority: self.priority,
            tags: self.tags,
            timezone: self.timezone,
            is_recurring: true,
            recurring_interval: interval,
            series_id: self.series_id,
            occurrence,
            anchor_day,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// 9998-12-31T12:00:00Z.
    const END_OF_DAYS: i64 = 253_370_721_600_000_000;

    /// Adds whole days and remembers the anchor it was asked for.
    struct Days;

    impl Calendar for Days {
        fn day_of_month(&self, _: i64, time_zone: &str) -> Result<u8, String> {
            if time_zone == "UTC" {
                Ok(17)
            } else {
                Err("unknown time zone".to_owned())
            }
        }

        fn next(
            &self,
            due: i64,
            interval: Interval,
            _: &str,
            anchor_day: u8,
        ) -> Result<Option<i64>, String> {
            if due >= END_OF_DAYS {
                return Ok(None);
            }
            let days = match interval {
                Interval::Daily => 1,
                Interval::Weekly => 7,
                Interval::Monthly => i64::from(anchor_day),
            };
            Ok(Some(due + days * 86_400_000_000))
        }
    }

    fn completed(changes: Value) -> CompletedTask {
        let mut task = json!({
            "task_id": Uuid::nil(), "user_id": "alice", "title": "Water plants", "description": null,
            "priority": "high", "tags": ["home"], "due_date": "2026-01-31T08:00:00Z", "timezone": "UTC",
            "is_recurring": true, "recurring_interval": "daily", "series_id": Uuid::nil(), "occurrence": 3,
            "anchor_day": 31, "completed_at": "2026-02-05T12:00:00Z", "unknown_member": 1,
        });
        for (name, value) in changes.as_object().unwrap() {
            task[name] = value.clone();
        }
        serde_json::from_value(task).unwrap()
    }

    fn successor(task: CompletedTask) -> Successor {
        match task.successor(&Days) {
            Ok(Next::Successor(successor)) => successor,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_successor_keeps_what_the_task_was_and_moves_its_date() {
        let next = successor(completed(json!({})));
        assert_eq!(
            serde_json::to_value(next).unwrap(),
            json!({
                "title": "Water plants", "description": null, "priority": "high", "tags": ["home"],
                "due_date": "2026-02-01T08:00:00.000000Z", "timezone": "UTC", "is_recurring": true,
                "recurring_interval": "daily", "series_id": Uuid::nil(), "occurrence": 4, "anchor_day": 31,
            })
        );
    }

    #[test]
    fn one_interval_on_even_if_that_is_past() {
        let next = successor(completed(json!({"due_date": "2020-01-01T00:00:00Z"})));
        assert_eq!(next.due_date.to_string(), "2020-01-02T00:00:00.000000Z");
    }

    #[test]
    fn without_a_due_date_the_completion_counts() {
        let task = completed(
            json!({"due_date": null, "anchor_day": null, "recurring_interval": "weekly"}),
        );
        let next = successor(task);
        assert_eq!(next.due_date.to_string(), "2026-02-12T12:00:00.000000Z");
        assert_eq!(next.anchor_day, 17);
    }

    #[test]
    fn a_task_that_does_not_recur_has_no_successor() {
        let task = completed(json!({"is_recurring": false, "recurring_interval": null}));
        assert_eq!(task.successor(&Days), Ok(Next::Nothing));
    }

    #[test]
    fn a_series_ends_with_the_calendar() {
        // By the calendar's own word, and where its answer is no timestamp any more.
        for changes in [
            json!({"due_date": "9998-12-31T12:00:00Z"}),
            json!({"due_date": "9998-12-31T00:00:00Z", "recurring_interval": "weekly"}),
        ] {
            let next = completed(changes.clone()).successor(&Days);
            assert_eq!(next, Ok(Next::EndOfTime), "{changes}");
        }
    }

    #[test]
    fn contradictions_are_malformed() {
        for changes in [
            json!({"recurring_interval": null}),
            json!({"occurrence": i32::MAX}),
            // A name that this calendar does not know.
            json!({"due_date": null, "timezone": "Europe/Berlin"}),
        ] {
            assert!(
                completed(changes.clone()).successor(&Days).is_err(),
                "{changes}"
            );
        }
    }
}
