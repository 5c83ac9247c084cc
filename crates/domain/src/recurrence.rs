//! The next instance of a recurring task.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::MalformedEvent;
use crate::rule::{End, Rule};
use crate::task::{Description, Interval, Priority, Tags, TimeZoneName, Title};
use crate::timestamp::Timestamp;
use crate::user_id::UserId;
use crate::wall_clock::WallClock;

/// How a task recurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrence {
    /// The pattern of due dates.
    pub rule: Rule,
    /// What the next due date counts from.
    #[serde(default)]
    pub from: CountedFrom,
    /// What becomes of due dates that passed while the task was open.
    #[serde(default)]
    pub missed: Missed,
}

/// What the next due date counts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountedFrom {
    /// The due date.
    #[default]
    Schedule,
    /// The day of the completion.
    Completion,
}

/// What becomes of due dates that passed while the task was open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// The next instance is due after the completion.
    #[default]
    Skip,
    /// The next instance is the next of the pattern, even if it is due already.
    Keep,
}

impl CountedFrom {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Schedule, Self::Completion];
}

impl Missed {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Skip, Self::Keep];
}

/// The task in a `task.completed` or `task.skipped` event, as it was then.
#[derive(Debug, Clone, Deserialize)]
pub struct EndedTask {
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
    /// What the zone's clocks would have shown then, where they skipped that time.
    #[serde(default)]
    pub wall_clock_due: Option<WallClock>,
    /// The zone whose wall clock its due date follows.
    pub timezone: TimeZoneName,
    /// Whether a next instance follows.
    pub is_recurring: bool,
    /// How far apart instances are, where that says it all.
    pub recurring_interval: Option<Interval>,
    /// How it recurs. Events of earlier versions have the interval alone.
    #[serde(default)]
    pub recurrence: Option<Recurrence>,
    /// The first task of the series.
    pub series_id: Uuid,
    /// The task's number in the series, from 1.
    pub occurrence: i32,
    /// The day of the month, 1 to 31, that the series aims at where its rule does not say.
    pub anchor_day: Option<u8>,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
    /// When it was skipped.
    #[serde(default)]
    pub skipped_at: Option<Timestamp>,
}

/// The task that follows one that ended.
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
    /// The next of the pattern.
    pub due_date: Timestamp,
    /// What the zone's clocks would show then, where they skip that time.
    pub wall_clock_due: Option<WallClock>,
    /// As before.
    pub timezone: TimeZoneName,
    /// Always true.
    pub is_recurring: bool,
    /// The interval that says the same as the rule, where there is one.
    pub recurring_interval: Option<Interval>,
    /// As before.
    pub recurrence: Recurrence,
    /// As before.
    pub series_id: Uuid,
    /// One more than before.
    pub occurrence: i32,
    /// As before, or the day that the series now counts from.
    pub anchor_day: u8,
}

/// What follows a task that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it does not recur.
    Nothing,
    /// Nothing any more: the rule ends the series, or the calendar does.
    End,
    /// This task.
    Successor(Box<Successor>),
}

/// Where a series stands. Instants are in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// The pattern.
    pub rule: &'a Rule,
    /// The name of the zone whose wall clock it follows.
    pub time_zone: &'a str,
    /// The last due date.
    pub due: Timestamp,
    /// What the zone's clocks would have shown then, where they skipped that time.
    pub wall_clock: Option<WallClock>,
    /// The day of the month, 1 to 31, that the series aims at; none for that of the last due date.
    pub anchor_day: Option<u8>,
    /// An instant whose day stands in for that of the last due date; the time of day stays.
    pub counted_from: Option<Timestamp>,
    /// The next due date comes after this, and after what the series counts from.
    pub after: Timestamp,
}

/// A due date of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// The instant.
    pub due: Timestamp,
    /// What the zone's clocks would show then, where they skip that time.
    pub wall_clock: Option<WallClock>,
    /// The day of the month, 1 to 31, that the series aims at.
    pub anchor_day: u8,
}

/// What the rules need to know about dates in time zones.
pub trait Calendar {
    /// The next due date of a series, or none where its rule or the calendar ends; a reason where the question makes no
    /// sense. Whether `COUNT` ends the series is not the calendar's business.
    fn next(&self, series: &Series<'_>) -> Result<Option<Occurrence>, String>;
}

impl EndedTask {
    /// The task that follows this one. A series that reaches the end of its rule or of the calendar ends there.
    ///
    /// # Errors
    ///
    /// When the event contradicts itself.
    pub fn successor(self, calendar: &impl Calendar) -> Result<Next, MalformedEvent> {
        if !self.is_recurring {
            return Ok(Next::Nothing);
        }
        let ended_at = self
            .completed_at
            .or(self.skipped_at)
            .ok_or_else(|| MalformedEvent::new("the task has not ended"))?;
        let recurrence = match (self.recurrence, self.recurring_interval) {
            (Some(recurrence), _) => recurrence,
            (None, Some(interval)) => Recurrence {
                rule: Rule::every(interval),
                from: CountedFrom::Schedule,
                missed: Missed::Keep,
            },
            (None, None) => return Err(MalformedEvent::new("a recurring task has no rule")),
        };
        let occurrence = self
            .occurrence
            .checked_add(1)
            .ok_or_else(|| MalformedEvent::new("the series has no next number"))?;
        if let End::Count(count) = recurrence.rule.end()
            && i64::from(occurrence) > i64::from(count)
        {
            return Ok(Next::End);
        }
        let due = self.due_date.unwrap_or(ended_at);
        let counted_from = (recurrence.from == CountedFrom::Completion).then_some(ended_at);
        let next = calendar
            .next(&Series {
                rule: &recurrence.rule,
                time_zone: self.timezone.as_str(),
                due,
                wall_clock: self.wall_clock_due.filter(|_| self.due_date.is_some()),
                anchor_day: self.anchor_day.filter(|_| self.due_date.is_some()),
                counted_from,
                after: match recurrence.missed {
                    Missed::Skip => ended_at,
                    Missed::Keep => counted_from.unwrap_or(due),
                },
            })
            .map_err(MalformedEvent::new)?;
        let Some(next) = next else {
            return Ok(Next::End);
        };
        Ok(Next::Successor(Box::new(Successor {
            due_date: next.due,
            wall_clock_due: next.wall_clock,
            anchor_day: next.anchor_day,
            title: self.title,
            description: self.description,
            priority: self.priority,
            tags: self.tags,
            timezone: self.timezone,
            is_recurring: true,
            recurring_interval: recurrence.rule.as_interval(),
            recurrence,
            series_id: self.series_id,
            occurrence,
        })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Answers with what it was asked, as far as that fits into an answer: due is `after` and one second.
    struct Echo;

    impl Calendar for Echo {
        fn next(&self, series: &Series<'_>) -> Result<Option<Occurrence>, String> {
            if series.time_zone != "UTC" {
                return Err("unknown time zone".to_owned());
            }
            let start = series.counted_from.unwrap_or(series.due);
            let after = start.max(series.after).unix_micros() + 1_000_000;
            let occurrence = |due| Occurrence {
                due,
                wall_clock: series.wall_clock,
                anchor_day: series.anchor_day.unwrap_or(17),
            };
            Ok(Timestamp::from_unix_micros(after).ok().map(occurrence))
        }
    }

    fn ended(changes: Value) -> EndedTask {
        let mut task = json!({
            "task_id": Uuid::nil(), "user_id": "alice", "title": "Water plants", "description": null,
            "priority": "high", "tags": ["home"], "due_date": "2026-01-31T08:00:00Z", "timezone": "UTC",
            "is_recurring": true, "recurring_interval": "daily", "series_id": Uuid::nil(), "occurrence": 3,
            "recurrence": {"rule": "FREQ=DAILY", "from": "schedule", "missed": "skip"},
            "anchor_day": 31, "completed_at": "2026-02-05T12:00:00Z", "unknown_member": 1,
        });
        for (name, value) in changes.as_object().unwrap() {
            task[name] = value.clone();
        }
        serde_json::from_value(task).unwrap()
    }

    fn successor(task: EndedTask) -> Successor {
        match task.successor(&Echo) {
            Ok(Next::Successor(successor)) => *successor,
            other => panic!("{other:?}"),
        }
    }

    fn due(changes: Value) -> String {
        successor(ended(changes)).due_date.to_string()
    }

    #[test]
    fn the_successor_keeps_what_the_task_was_and_moves_its_date() {
        let next = successor(ended(json!({})));
        assert_eq!(
            serde_json::to_value(next).unwrap(),
            json!({
                "title": "Water plants", "description": null, "priority": "high", "tags": ["home"],
                "due_date": "2026-02-05T12:00:01.000000Z", "wall_clock_due": null, "timezone": "UTC",
                "is_recurring": true, "recurring_interval": "daily",
                "recurrence": {"rule": "FREQ=DAILY", "from": "schedule", "missed": "skip"},
                "series_id": Uuid::nil(), "occurrence": 4, "anchor_day": 31,
            })
        );
    }

    #[test]
    fn missed_due_dates_are_skipped_or_kept() {
        let recurrence =
            |missed: &str| json!({"recurrence": {"rule": "FREQ=DAILY", "missed": missed}});
        assert_eq!(due(recurrence("skip")), "2026-02-05T12:00:01.000000Z");
        assert_eq!(due(recurrence("keep")), "2026-01-31T08:00:01.000000Z");
        // Early: after the due date all the same.
        let mut early = recurrence("skip");
        early["completed_at"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(due(early), "2026-01-31T08:00:01.000000Z");
    }

    #[test]
    fn an_event_of_an_earlier_version_keeps_missed_due_dates() {
        let next = successor(ended(
            json!({"recurrence": null, "recurring_interval": "weekly"}),
        ));
        assert_eq!(next.due_date.to_string(), "2026-01-31T08:00:01.000000Z");
        assert_eq!(next.recurrence.rule.to_string(), "FREQ=WEEKLY");
        assert_eq!(next.recurrence.missed, Missed::Keep);
    }

    #[test]
    fn from_completion_it_counts_from_there() {
        let recurrence = json!({"rule": "FREQ=DAILY", "from": "completion", "missed": "keep"});
        assert_eq!(
            due(json!({"recurrence": recurrence, "completed_at": "2026-01-01T00:00:00Z"})),
            "2026-01-01T00:00:01.000000Z"
        );
        assert_eq!(
            due(json!({"recurrence": recurrence})),
            "2026-02-05T12:00:01.000000Z"
        );
    }

    #[test]
    fn a_skipped_task_is_followed_as_if_it_had_been_completed() {
        let changes = json!({"completed_at": null, "skipped_at": "2026-02-05T12:00:00Z"});
        assert_eq!(successor(ended(changes)), successor(ended(json!({}))));
    }

    #[test]
    fn without_a_due_date_the_completion_counts() {
        let next = successor(ended(
            json!({"due_date": null, "anchor_day": null, "wall_clock_due": "2026-01-01T00:00:00.000000"}),
        ));
        assert_eq!(next.due_date.to_string(), "2026-02-05T12:00:01.000000Z");
        assert_eq!((next.anchor_day, next.wall_clock_due), (17, None));
    }

    #[test]
    fn a_rule_that_is_no_interval_has_none() {
        let next = successor(ended(
            json!({"recurrence": {"rule": "FREQ=DAILY;INTERVAL=2"}}),
        ));
        assert_eq!(next.recurring_interval, None);
    }

    #[test]
    fn a_task_that_does_not_recur_has_no_successor() {
        let task =
            ended(json!({"is_recurring": false, "recurring_interval": null, "recurrence": null}));
        assert_eq!(task.successor(&Echo), Ok(Next::Nothing));
    }

    #[test]
    fn a_count_ends_the_series_with_the_task_of_that_number() {
        let next = |count: u32| {
            let rule = format!("FREQ=DAILY;COUNT={count}");
            ended(json!({"recurrence": {"rule": rule}})).successor(&Echo)
        };
        assert!(matches!(next(4), Ok(Next::Successor(_))));
        assert_eq!(next(3), Ok(Next::End));
        assert_eq!(next(1), Ok(Next::End));
    }

    #[test]
    fn a_series_ends_with_the_calendar() {
        let task = ended(json!({"due_date": "9998-12-31T23:59:59Z"}));
        assert_eq!(task.successor(&Echo), Ok(Next::End));
    }

    #[test]
    fn contradictions_are_malformed() {
        for changes in [
            json!({"recurring_interval": null, "recurrence": null}),
            json!({"occurrence": i32::MAX}),
            json!({"completed_at": null}),
            // A name that this calendar does not know.
            json!({"timezone": "Europe/Berlin"}),
        ] {
            assert!(
                ended(changes.clone()).successor(&Echo).is_err(),
                "{changes}"
            );
        }
    }
}
