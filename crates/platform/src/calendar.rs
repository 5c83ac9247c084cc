//! The calendar component, which answers questions about dates in time zones.

use domain::recurrence::{self, Occurrence, Series};
use domain::timestamp::Timestamp;
use domain::wall_clock::WallClock;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package todo:platform;
            world calendar-user {
                import todo:calendar/calendar@2.0.0;
            }
        ",
        path: "../../wit",
        world: "todo:platform/calendar-user",
        generate_all,
    });
}

use bindings::todo::calendar::calendar;

/// The calendar that this component is composed with.
pub struct Calendar;

impl recurrence::Calendar for Calendar {
    fn next(&self, series: &Series<'_>) -> Result<Option<Occurrence>, String> {
        let next = calendar::next(&calendar::Series {
            rule: series.rule.to_string(),
            time_zone: series.time_zone.to_owned(),
            due: series.due.unix_micros(),
            wall_clock: series.wall_clock.map(WallClock::micros),
            anchor_day: series.anchor_day,
            counted_from: series.counted_from.map(Timestamp::unix_micros),
            after: series.after.unix_micros(),
        })
        .map_err(reason)?;
        // A date that our types cannot hold lies after the end of the calendar.
        Ok(next.and_then(|next| {
            Some(Occurrence {
                due: Timestamp::from_unix_micros(next.due).ok()?,
                wall_clock: next
                    .wall_clock
                    .and_then(|micros| WallClock::from_micros(micros).ok()),
                anchor_day: next.anchor_day,
            })
        }))
    }
}

fn reason(error: calendar::Error) -> String {
    match error {
        calendar::Error::UnknownTimeZone => "the time zone is unknown",
        calendar::Error::InvalidRule => "the rule is not one that the calendar knows",
        calendar::Error::InvalidAnchorDay => "the anchor day is not a day of a month",
        calendar::Error::OutOfRange => "an instant is outside the calendar",
    }
    .to_owned()
}
