//! Rules of recurrence: a subset of RFC 5545's RRULE (section 3.3.10), as dates. The calendar component adds times and
//! zones.
//!
//! What a rule leaves open comes from the date before: for instance the day of a monthly rule without `BYMONTHDAY` and
//! `BYDAY`. Such a day is clamped to the month's length, which RFC 7529 calls `SKIP=BACKWARD`. If the rule itself names
//! a day, months without that day are left out, as in RFC 5545.

mod text;

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{Date, Duration, Month, Weekday};

use crate::task::{Interval, InvalidValue};
use crate::timestamp::Timestamp;

/// A rule. Its text is canonical: upper case, parts and values in one order, defaults left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    frequency: Frequency,
    interval: u16,
    by_month: Vec<u8>,
    by_month_day: Vec<i8>,
    by_day: Vec<Day>,
    week_start: Weekday,
    end: End,
}

/// The period that a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// A day of the week: each in the period, or the nth from its start or, below zero, its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Day {
    ordinal: i8,
    /// From Monday, 0.
    weekday: u8,
}

/// When a series ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Never.
    Never,
    /// With the task of this number, from 1.
    Count(u32),
    /// With the last occurrence on this day, in the task's zone.
    Day(Date),
    /// With the last occurrence not after this instant.
    Instant(Timestamp),
}

/// The last year with occurrences; tasks cannot be due later.
const LAST_YEAR: i32 = 9998;

impl Rule {
    /// How many characters it may have.
    pub const LONGEST: usize = 200;
    /// The largest `INTERVAL`.
    pub const LARGEST_INTERVAL: u16 = 1000;

    /// The rule that says the same as an interval.
    pub fn every(interval: Interval) -> Self {
        Self {
            frequency: match interval {
                Interval::Daily => Frequency::Daily,
                Interval::Weekly => Frequency::Weekly,
                Interval::Monthly => Frequency::Monthly,
            },
            interval: 1,
            by_month: Vec::new(),
            by_month_day: Vec::new(),
            by_day: Vec::new(),
            week_start: Weekday::Monday,
            end: End::Never,
        }
    }

    /// The interval that says the same, where there is one.
    pub fn as_interval(&self) -> Option<Interval> {
        Interval::ALL
            .into_iter()
            .find(|interval| *self == Self::every(*interval))
    }

    /// When the series ends.
    pub fn end(&self) -> End {
        self.end
    }

    /// The dates of the pattern that lie after `from`, itself a date of the pattern, and not before `earliest`, in order.
    ///
    /// `anchor_day` is the day of the month, 1 to 31, that the series aims at if the rule names none. The dates go on
    /// after the end of the rule (`COUNT`, `UNTIL`), but not after the end of the calendar. The time that it takes to
    /// find the next date does not grow with `earliest`; the search ends after as many empty intervals as 400 years
    /// have periods, since the calendar then repeats.
    pub fn dates_after(
        &self,
        from: Date,
        anchor_day: u8,
        earliest: Date,
    ) -> impl Iterator<Item = Date> {
        let earliest = earliest.max(from.next_day().unwrap_or(Date::MAX));
        let first = (self.period_of(earliest) - self.period_of(from)).div_euclid(self.step());
        let mut empty = 0;
        (first.max(0)..)
            .map_while(move |count| {
                let period = self.period_of(from) + count * self.step();
                let dates = self.dates_in(period, from, anchor_day)?;
                empty = if dates.is_empty() { empty + 1 } else { 0 };
                (empty <= self.cycle()).then_some(dates)
            })
            .flatten()
            // If the rule names no day, a month has only one date, and the month of `from` has had it.
            .filter(move |date| {
                *date >= earliest && (self.names_days() || month(*date) != month(from))
            })
    }

    /// Whether the rule itself decides which days of a month fit.
    fn names_days(&self) -> bool {
        let counts_days = matches!(self.frequency, Frequency::Daily | Frequency::Weekly);
        counts_days || !(self.by_month_day.is_empty() && self.by_day.is_empty())
    }

    /// Whether any date fits the rule.
    fn has_dates(&self) -> bool {
        let every = Self {
            interval: 1,
            ..self.clone()
        };
        let start = Date::from_ordinal_date(2000, 1).unwrap_or(Date::MIN);
        every.dates_after(start, 1, start).next().is_some()
    }

    fn step(&self) -> i64 {
        i64::from(self.interval)
    }

    /// After how many periods the calendar repeats.
    fn cycle(&self) -> i64 {
        match self.frequency {
            Frequency::Daily => 146_097,
            Frequency::Weekly => 20_871,
            Frequency::Monthly => 4_800,
            Frequency::Yearly => 400,
        }
    }

    /// The number of the day, week, month or year that a date is in.
    fn period_of(&self, date: Date) -> i64 {
        let day = i64::from(date.to_julian_day());
        match self.frequency {
            Frequency::Daily => day,
            // Day 0 is a Monday.
            Frequency::Weekly => {
                (day - i64::from(self.week_start.number_days_from_monday())).div_euclid(7)
            }
            Frequency::Monthly => {
                i64::from(date.year()) * 12 + i64::from(u8::from(date.month())) - 1
            }
            Frequency::Yearly => i64::from(date.year()),
        }
    }

    /// The dates of the pattern in a period, in order; `None` after the last year.
    fn dates_in(&self, period: i64, from: Date, anchor_day: u8) -> Option<Vec<Date>> {
        let dates: Vec<Date> = match self.frequency {
            Frequency::Daily => {
                let date = day_number(period)?;
                let fits = self.fits_month(date)
                    && self.fits_month_day(date)
                    && self.fits_weekday(date, Scope::Week);
                fits.then_some(date).into_iter().collect()
            }
            Frequency::Weekly => {
                let first =
                    day_number(period * 7 + i64::from(self.week_start.number_days_from_monday()))?;
                let fits = |date: &Date| {
                    self.fits_month(*date)
                        && if self.by_day.is_empty() {
                            date.weekday() == from.weekday()
                        } else {
                            self.fits_weekday(*date, Scope::Week)
                        }
                };
                days(first, 7).filter(fits).collect()
            }
            Frequency::Monthly => {
                let year = i32::try_from(period.div_euclid(12)).ok()?;
                let month = u8::try_from(period.rem_euclid(12) + 1).ok()?;
                self.dates_in_month(year, month, anchor_day, Scope::Month)?
            }
            Frequency::Yearly => {
                let year = i32::try_from(period).ok()?;
                if self.by_month.is_empty()
                    && self.by_month_day.is_empty()
                    && self.by_day.is_empty()
                {
                    let month = u8::from(from.month());
                    vec![clamped(year, month, anchor_day)?]
                } else {
                    let scope = if self.by_month.is_empty() {
                        Scope::Year
                    } else {
                        Scope::Month
                    };
                    let mut dates = Vec::new();
                    for month in 1..=12 {
                        dates.extend(self.dates_in_month(year, month, anchor_day, scope)?);
                    }
                    dates
                }
            }
        };
        let is_over = dates.first().is_some_and(|date| date.year() > LAST_YEAR);
        (!is_over).then_some(dates)
    }

    /// The dates in a month; an ordinal counts the weekdays of `scope`.
    fn dates_in_month(
        &self,
        year: i32,
        month: u8,
        anchor_day: u8,
        scope: Scope,
    ) -> Option<Vec<Date>> {
        let first = Date::from_calendar_date(year, Month::try_from(month).ok()?, 1).ok()?;
        if year > LAST_YEAR {
            return None;
        }
        if !self.fits_month(first) {
            return Some(Vec::new());
        }
        if self.by_month_day.is_empty() && self.by_day.is_empty() {
            return Some(vec![clamped(year, month, anchor_day)?]);
        }
        let fits = |date: &Date| self.fits_month_day(*date) && self.fits_weekday(*date, scope);
        Some(days(first, length(first)).filter(fits).collect())
    }

    fn fits_month(&self, date: Date) -> bool {
        self.by_month.is_empty() || self.by_month.contains(&u8::from(date.month()))
    }

    fn fits_month_day(&self, date: Date) -> bool {
        let (day, length) = (i16::from(date.day()), i16::from(length(date)));
        let is_it = |named: &i8| match i16::from(*named) {
            from_end if from_end < 0 => length + 1 + from_end == day,
            from_start => from_start == day,
        };
        self.by_month_day.is_empty() || self.by_month_day.iter().any(is_it)
    }

    fn fits_weekday(&self, date: Date, scope: Scope) -> bool {
        let (place, length) = match scope {
            Scope::Week => (0, 0),
            Scope::Month => (u16::from(date.day()), u16::from(length(date))),
            Scope::Year => (date.ordinal(), time::util::days_in_year(date.year())),
        };
        let nth = i16::try_from(place.saturating_sub(1) / 7 + 1).unwrap_or(i16::MAX);
        let from_end = i16::try_from(length.saturating_sub(place) / 7 + 1).unwrap_or(i16::MAX);
        let is_it = |named: &Day| {
            named.weekday == date.weekday().number_days_from_monday()
                && match i16::from(named.ordinal) {
                    0 => true,
                    ordinal if ordinal > 0 => ordinal == nth,
                    ordinal => -ordinal == from_end,
                }
        };
        self.by_day.is_empty() || self.by_day.iter().any(is_it)
    }
}

/// What an ordinal counts the weekdays of.
#[derive(Debug, Clone, Copy)]
enum Scope {
    Week,
    Month,
    Year,
}

fn day_number(number: i64) -> Option<Date> {
    Date::from_julian_day(i32::try_from(number).ok()?).ok()
}

fn month(date: Date) -> (i32, Month) {
    (date.year(), date.month())
}

/// The number of days in a date's month.
fn length(date: Date) -> u8 {
    date.month().length(date.year())
}

/// `count` days from the first on.
fn days(first: Date, count: u8) -> impl Iterator<Item = Date> {
    (0..i64::from(count)).map_while(move |day| first.checked_add(Duration::days(day)))
}

fn clamped(year: i32, month: u8, day: u8) -> Option<Date> {
    let month = Month::try_from(month).ok()?;
    let day = day.clamp(1, month.length(year));
    Date::from_calendar_date(year, month, day).ok()
}

impl TryFrom<String> for Rule {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        let rule = text::parse(&text)?;
        if rule.has_dates() {
            Ok(rule)
        } else {
            Err(InvalidValue::new("must fit some date"))
        }
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, formatter)
    }
}

#[cfg(test)]
mod tests;
