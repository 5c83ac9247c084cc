//! When the next instance of a recurring task is due.
//!
//! Each answer follows from the previous instance's due date alone. So where a DST change moved a time forward
//! (02:30 became 03:30, or a day that a zone left out became the next), a daily or weekly series goes on from the
//! moved time; a monthly one returns to its anchor day, in the month after the one that the moved date shows.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::time_zone;

/// How far apart the instances of a recurring task are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interval {
    /// The same wall-clock time one day on.
    Daily,
    /// The same wall-clock time seven days on.
    Weekly,
    /// The same wall-clock time on the anchor day of the next calendar month.
    Monthly,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// The name is not in the IANA time-zone database.
    UnknownTimeZone,
    /// The instant or the answer lies outside the years -9999 to 9999.
    OutOfRange,
    /// The anchor day of a monthly series is not 1 to 31.
    InvalidAnchorDay,
}

/// The day of the month, 1 to 31, of `instant` (Unix time in microseconds) in the zone called `zone_name`.
///
/// # Errors
///
/// [`Error::UnknownTimeZone`], [`Error::OutOfRange`].
pub fn day_of_month(instant: i64, zone_name: &str) -> Result<u8, Error> {
    let zone = time_zone::find(zone_name).ok_or(Error::UnknownTimeZone)?;
    let day = zone.to_datetime(timestamp(instant)?).day();
    u8::try_from(day).map_err(|_| Error::OutOfRange)
}

/// The instant one `interval` after `due` in the zone called `zone_name`; both are Unix time in microseconds.
///
/// The wall-clock time is kept, fractions of a second included. `anchor_day` is the day of the month that a monthly
/// series aims at, clamped to the month's length (31 Jan → 28 Feb → 31 Mar); other intervals ignore it. A wall-clock
/// time that a DST change skips moves forward by as much as the clocks did; one that occurs twice means the first.
/// The answer is later than `due`, always.
///
/// # Errors
///
/// [`Error::UnknownTimeZone`], [`Error::InvalidAnchorDay`], [`Error::OutOfRange`], looked for in this order.
pub fn next(due: i64, interval: Interval, zone_name: &str, anchor_day: u8) -> Result<i64, Error> {
    let zone = time_zone::find(zone_name).ok_or(Error::UnknownTimeZone)?;
    if interval == Interval::Monthly && !(1..=31).contains(&anchor_day) {
        return Err(Error::InvalidAnchorDay);
    }
    next_in(&zone, timestamp(due)?, interval, anchor_day).map(Timestamp::as_microsecond)
}

/// [`next`] in a given zone; an anchor day beyond the month's length, or 0, is clamped.
pub(crate) fn next_in(
    zone: &TimeZone,
    due: Timestamp,
    interval: Interval,
    anchor_day: u8,
) -> Result<Timestamp, Error> {
    let local = zone.to_datetime(due);
    // One interval, unless clocks went back so far that this is not later. No zone has done so yet. Offsets are
    // less than 26 hours from UTC, so the third day on, at the latest, is later in any zone.
    for count in 1..=3 {
        let target = advance(local, interval, anchor_day, count).ok_or(Error::OutOfRange)?;
        let next = zone
            .to_ambiguous_timestamp(target)
            .compatible()
            .map_err(|_| Error::OutOfRange)?;
        if next > due {
            return Ok(next);
        }
    }
    Err(Error::OutOfRange)
}

/// The wall-clock time `count` intervals after `local`, wherever the zone's clocks go meanwhile.
fn advance(local: DateTime, interval: Interval, anchor_day: u8, count: i32) -> Option<DateTime> {
    let date = match interval {
        Interval::Daily => local.date().checked_add(Span::new().days(count)).ok()?,
        Interval::Weekly => local.date().checked_add(Span::new().weeks(count)).ok()?,
        Interval::Monthly => {
            let month = local
                .date()
                .first_of_month()
                .checked_add(Span::new().months(count))
                .ok()?;
            let day = i8::try_from(anchor_day)
                .ok()?
                .clamp(1, month.days_in_month());
            month.with().day(day).build().ok()?
        }
    };
    Some(date.to_datetime(local.time()))
}

fn timestamp(instant: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(instant).map_err(|_| Error::OutOfRange)
}
