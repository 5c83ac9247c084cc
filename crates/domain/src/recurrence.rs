//! The next instance of a recurring task.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::MalformedEvent;
use crate::reminder::Reminders;
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
    /// The next instance is due on the next date of the pattern, even if that has passed.
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
    /// The wall-clock time that the due date stands for, if the zone's clocks skipped it.
    #[serde(default)]
    pub wall_clock_due: Option<WallClock>,
    /// The zone whose wall clock its due date follows.
    pub timezone: TimeZoneName,
    /// Whether a next instance follows.
    pub is_recurring: bool,
    /// The interval, if it says the same as the rule.
    pub recurring_interval: Option<Interval>,
    /// How it recurs. Events of earlier versions have only the interval.
    #[serde(default)]
    pub recurrence: Option<Recurrence>,
    /// When it is to be reminded of, if not by the deployment's lead.
    #[serde(default)]
    pub reminders: Option<Reminders>,
    /// The first task of the series.
    pub series_id: Uuid,
    /// The task's number in the series, from 1.
    pub occurrence: i32,
    /// The day of the month, 1 to 31, that the series aims at if its rule names none.
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
    /// The next date of the pattern.
    pub due_date: Timestamp,
    /// The wall-clock time that the due date stands for, if the zone's clocks skip it.
    pub wall_clock_due: Option<WallClock>,
    /// As before.
    pub timezone: TimeZoneName,
    /// Always true.
    pub is_recurring: bool,
    /// The interval that says the same as the rule, where there is one.
    pub recurring_interval: Option<Interval>,
    /// As before.
    pub recurrence: Recurrence,
    /// As far from the due date as before.
    pub reminders: Option<Reminders>,
    /// As before.
    pub series_id: Uuid,
    /// One more than before.
    pub occurrence: i32,
    /// The day of the month that the series aims at, as before or as it now counts.
    pub anchor_day: u8,
}

/// What follows a task that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the task does not recur.
    Nothing,
    /// Nothing: the series has ended, by its rule or because the calendar ends.
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
    /// The wall-clock time that the due date stands for, if the zone's clocks skipped it.
    pub wall_clock: Option<WallClock>,
    /// The day of the month, 1 to 31, that the series aims at; `None` means the day of the last due date.
    pub anchor_day: Option<u8>,
    /// An instant whose day replaces the day of the last due date. The time of day stays.
    pub counted_from: Option<Timestamp>,
    /// The next due date comes after this, and after what the series counts from.
    pub after: Timestamp,
}

/// A due date of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// The instant.
    pub due: Timestamp,
    /// The wall-clock time that the due date stands for, if the zone's clocks skip it.
    pub wall_clock: Option<WallClock>,
    /// The day of the month, 1 to 31, that the series aims at.
    pub anchor_day: u8,
}

/// What the rules need to know about dates in time zones.
pub trait Calendar {
    /// The next due date of a series; `None` if its rule or the calendar ends; an error if the question makes no sense.
    /// The calendar ignores `COUNT`.
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
            reminders: self
                .reminders
                .map(|reminders| reminders.moved(next.due.unix_micros() - due.unix_micros())),
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
mod tests;
