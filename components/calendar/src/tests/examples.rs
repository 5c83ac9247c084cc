//! Single cases, each a rule or a trap. Times are written with the offset that the zone's clocks show.

mod clocks;
mod patterns;
mod zone_names;

use domain::recurrence::{Occurrence, Series};
use domain::rule::Rule;
use domain::timestamp::Timestamp;

use crate::recurrence::next;

fn instant(time: &str) -> Timestamp {
    // Offsets of the past have seconds, which RFC 3339 does not have.
    let instant: jiff::Timestamp = time.parse().unwrap();
    Timestamp::from_unix_micros(instant.as_microsecond()).unwrap()
}

fn rule(text: &str) -> Rule {
    Rule::try_from(text.to_owned()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A series with this due date, whose next instance is due on the next date of the pattern.
fn due<'a>(rule: &'a Rule, time_zone: &'a str, due: Timestamp) -> Series<'a> {
    Series {
        rule,
        time_zone,
        due,
        wall_clock: None,
        anchor_day: None,
        counted_from: None,
        after: due,
    }
}

/// Asserts that after the first instant of `step`, "due → next", the series is due at the second.
#[track_caller]
fn check(text: &str, anchor_day: Option<u8>, zone: &str, step: &str) {
    let (from, expected) = step.split_once(" → ").unwrap();
    let rule = rule(text);
    let series = Series {
        anchor_day,
        ..due(&rule, zone, instant(from))
    };
    let answer = next(&series).map(|next| next.map(|next| next.due));
    assert_eq!(
        answer,
        Ok(Some(instant(expected))),
        "{text} after {from} in {zone}"
    );
}

#[track_caller]
fn daily(zone: &str, step: &str) {
    check("FREQ=DAILY", None, zone, step);
}

#[track_caller]
fn weekly(zone: &str, step: &str) {
    check("FREQ=WEEKLY", None, zone, step);
}

#[track_caller]
fn monthly(anchor_day: u8, zone: &str, step: &str) {
    check("FREQ=MONTHLY", Some(anchor_day), zone, step);
}

/// Asserts that a series goes on with these due dates, each completed in time.
#[track_caller]
fn walk(text: &str, zone: &str, dates: &[&str]) {
    let rule = rule(text);
    let mut series = due(&rule, zone, instant(dates[0]));
    for expected in &dates[1..] {
        let Ok(Some(Occurrence {
            due,
            wall_clock,
            anchor_day,
        })) = next(&series)
        else {
            panic!("{text} ends before {expected} in {zone}");
        };
        assert_eq!(due, instant(expected), "{text} in {zone}");
        series = Series {
            due,
            wall_clock,
            anchor_day: Some(anchor_day),
            after: due,
            ..series
        };
    }
}
