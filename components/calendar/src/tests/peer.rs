//! The same rules written a second time, on chrono and its own copy of the time-zone database.

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeDelta,
    TimeZone, Utc,
};
use chrono_tz::Tz;

use domain::task::Interval;

/// See [`crate::recurrence::next`].
pub fn next(due: DateTime<Utc>, interval: Interval, zone: Tz, anchor_day: u32) -> DateTime<Utc> {
    let local = due.with_timezone(&zone).naive_local();
    let date = match interval {
        Interval::Daily => local.date() + Days::new(1),
        Interval::Weekly => local.date() + Days::new(7),
        Interval::Monthly => {
            let (year, month) = match local.month() {
                12 => (local.year() + 1, 1),
                month => (local.year(), month + 1),
            };
            (1..=anchor_day)
                .rev()
                .find_map(|day| NaiveDate::from_ymd_opt(year, month, day))
                .expect("every month has a first")
        }
    };
    instant(date.and_time(local.time()), zone)
}

/// The instant of a wall-clock time: the first of two; inside a gap, by the offset in force before the gap.
fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(only) => only.to_utc(),
        MappedLocalTime::Ambiguous(first, second) => first.min(second).to_utc(),
        MappedLocalTime::None => {
            let before = (1..=2 * 24 * 60)
                .map(|minutes| local - TimeDelta::minutes(minutes))
                .find_map(|earlier| zone.from_local_datetime(&earlier).latest())
                .expect("no gap is longer than a day");
            (local - before.offset().fix()).and_utc()
        }
    }
}

/// The offset in force at `second` (Unix time), in seconds east of UTC.
pub fn offset(zone: Tz, second: i64) -> i32 {
    let utc = DateTime::from_timestamp(second, 0)
        .expect("within chrono's years")
        .naive_utc();
    zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
}
