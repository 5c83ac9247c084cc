//! When the next instance of a recurring task is due.

use domain::recurrence::{Occurrence, Series};
use domain::rule::End;
use domain::timestamp::Timestamp as DueDate;
use domain::wall_clock::WallClock;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::time_zone;

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// The name is not in the IANA time-zone database.
    UnknownTimeZone,
    /// The anchor day is not 1 to 31.
    InvalidAnchorDay,
}

/// The next due date of a series; `None` if its rule or the calendar ends.
///
/// The wall-clock time is kept, with fractions of a second, also after a change of clocks moved a due date. A time that
/// the clocks skip moves forward by as much as they did. Of a time that occurs twice, the first counts. The answer is
/// always later than `after` and than what the series counts from.
///
/// # Errors
///
/// [`Error::UnknownTimeZone`], then [`Error::InvalidAnchorDay`]: the first that applies.
pub fn next(series: &Series<'_>) -> Result<Option<Occurrence>, Error> {
    let zone = time_zone::find(series.time_zone).ok_or(Error::UnknownTimeZone)?;
    if series
        .anchor_day
        .is_some_and(|day| !(1..=31).contains(&day))
    {
        return Err(Error::InvalidAnchorDay);
    }
    Ok(next_in(&zone, series))
}

/// [`next`] in a given zone.
pub(crate) fn next_in(zone: &TimeZone, series: &Series<'_>) -> Option<Occurrence> {
    let due = instant(series.due)?;
    let shown = match series.wall_clock {
        Some(clock) => shown(clock)?,
        None => zone.to_datetime(due),
    };
    let counted_from = match series.counted_from {
        Some(from) => instant(from)?,
        None => due,
    };
    let (start, anchor_day) = match series.counted_from {
        Some(_) => {
            let day = zone.to_datetime(counted_from).date();
            (day, day.day().unsigned_abs())
        }
        None => {
            let day = series.anchor_day.unwrap_or(shown.day().unsigned_abs());
            (shown.date(), day)
        }
    };
    let after = instant(series.after)?.max(counted_from);
    // A zone may move its clocks by a day or two. That must not hide a date.
    let earliest = zone
        .to_datetime(after)
        .date()
        .saturating_sub(Span::new().days(3));
    for date in series
        .rule
        .dates_after(date_of(start)?, anchor_day, date_of(earliest)?)
    {
        let local = civil(date)?.to_datetime(shown.time());
        let next = zone.to_ambiguous_timestamp(local).compatible().ok()?;
        if next <= after {
            continue;
        }
        let due = DueDate::from_unix_micros(next.as_microsecond()).ok()?;
        let is_over = match series.rule.end() {
            End::Never | End::Count(_) => false,
            End::Day(last) => date > last,
            End::Instant(last) => due > last,
        };
        let is_moved = zone.to_datetime(next) != local;
        return (!is_over).then_some(Occurrence {
            due,
            wall_clock: is_moved.then(|| wall_clock(local)).flatten(),
            anchor_day,
        });
    }
    None
}

fn instant(due: DueDate) -> Option<Timestamp> {
    Timestamp::from_microsecond(due.unix_micros()).ok()
}

fn shown(clock: WallClock) -> Option<DateTime> {
    let instant = Timestamp::from_microsecond(clock.micros()).ok()?;
    Some(TimeZone::UTC.to_datetime(instant))
}

fn wall_clock(shown: DateTime) -> Option<WallClock> {
    let instant = TimeZone::UTC.to_timestamp(shown).ok()?;
    WallClock::from_micros(instant.as_microsecond()).ok()
}

fn date_of(date: Date) -> Option<time::Date> {
    let ordinal = u16::try_from(date.day_of_year()).ok()?;
    time::Date::from_ordinal_date(i32::from(date.year()), ordinal).ok()
}

fn civil(date: time::Date) -> Option<Date> {
    let month = i8::try_from(u8::from(date.month())).ok()?;
    let (year, day) = (
        i16::try_from(date.year()).ok()?,
        i8::try_from(date.day()).ok()?,
    );
    Date::new(year, month, day).ok()
}
