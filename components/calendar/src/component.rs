//! The component's export: the WIT types around the plain Rust functions.

use domain::recurrence;
use domain::rule::Rule;
use domain::timestamp::Timestamp;
use domain::wall_clock::WallClock;

use crate::recurrence::{Error as NoAnswer, next};
use bindings::exports::todo::calendar::calendar::{Error, Guest, Occurrence, Series};

#[expect(
    unsafe_code,
    reason = "generated: the canonical ABI passes raw pointers"
)]
mod bindings {
    use super::Calendar;

    wit_bindgen::generate!({
        path: "../../wit",
        world: "time-zone-calendar",
    });
    export!(Calendar);
}

struct Calendar;

impl Guest for Calendar {
    fn next(series: Series) -> Result<Option<Occurrence>, Error> {
        let rule = Rule::try_from(series.rule).map_err(|_| Error::InvalidRule)?;
        let clock = |micros| WallClock::from_micros(micros).map_err(|_| Error::OutOfRange);
        let next = next(&recurrence::Series {
            rule: &rule,
            time_zone: &series.time_zone,
            due: instant(series.due)?,
            wall_clock: series.wall_clock.map(clock).transpose()?,
            anchor_day: series.anchor_day,
            counted_from: series.counted_from.map(instant).transpose()?,
            after: instant(series.after)?,
        })?;
        Ok(next.map(|next| Occurrence {
            due: next.due.unix_micros(),
            wall_clock: next.wall_clock.map(WallClock::micros),
            anchor_day: next.anchor_day,
        }))
    }
}

fn instant(micros: i64) -> Result<Timestamp, Error> {
    Timestamp::from_unix_micros(micros).map_err(|_| Error::OutOfRange)
}

impl From<NoAnswer> for Error {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::UnknownTimeZone => Self::UnknownTimeZone,
            NoAnswer::InvalidAnchorDay => Self::InvalidAnchorDay,
        }
    }
}
