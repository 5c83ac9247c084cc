//! The calendar component, which answers questions about dates in time zones.

use domain::recurrence;
use domain::task::Interval;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package todo:platform;
            world calendar-user {
                import todo:calendar/calendar@1.0.0;
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
    fn day_of_month(&self, instant: i64, time_zone: &str) -> Result<u8, String> {
        calendar::day_of_month(instant, time_zone).map_err(reason)
    }

    fn next(
        &self,
        due: i64,
        interval: Interval,
        time_zone: &str,
        anchor_day: u8,
    ) -> Result<Option<i64>, String> {
        let interval = match interval {
            Interval::Daily => calendar::Interval::Daily,
            Interval::Weekly => calendar::Interval::Weekly,
            Interval::Monthly => calendar::Interval::Monthly,
        };
        match calendar::next(due, interval, time_zone, anchor_day) {
            Ok(next) => Ok(Some(next)),
            Err(calendar::Error::OutOfRange) => Ok(None),
            Err(error) => Err(reason(error)),
        }
    }
}

fn reason(error: calendar::Error) -> String {
    match error {
        calendar::Error::UnknownTimeZone => "the time zone is unknown",
        calendar::Error::OutOfRange => "the date is outside the calendar",
        calendar::Error::InvalidAnchorDay => "the anchor day is not a day of a month",
    }
    .to_owned()
}
