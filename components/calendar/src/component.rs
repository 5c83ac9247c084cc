//! The component's export: the WIT types around the plain Rust functions.

use crate::recurrence;
use bindings::exports::todo::calendar::calendar::{Error, Guest, Interval};

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
    fn day_of_month(instant: i64, time_zone: String) -> Result<u8, Error> {
        Ok(recurrence::day_of_month(instant, &time_zone)?)
    }

    fn next(due: i64, interval: Interval, time_zone: String, anchor_day: u8) -> Result<i64, Error> {
        let interval = match interval {
            Interval::Daily => recurrence::Interval::Daily,
            Interval::Weekly => recurrence::Interval::Weekly,
            Interval::Monthly => recurrence::Interval::Monthly,
        };
        Ok(recurrence::next(due, interval, &time_zone, anchor_day)?)
    }
}

impl From<recurrence::Error> for Error {
    fn from(error: recurrence::Error) -> Self {
        match error {
            recurrence::Error::UnknownTimeZone => Self::UnknownTimeZone,
            recurrence::Error::OutOfRange => Self::OutOfRange,
            recurrence::Error::InvalidAnchorDay => Self::InvalidAnchorDay,
        }
    }
}
