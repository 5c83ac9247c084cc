//! Patterns: missed due dates, counting from the completion, ends of series, anchor days, leap years.

use domain::recurrence::Series;

use super::{daily, due, instant, monthly, rule, weekly};
use crate::recurrence::{Error, next};

#[test]
fn missed_due_dates_are_passed_over_by_walking_the_pattern() {
    for (text, from, after, expected) in [
        (
            "FREQ=DAILY",
            "2026-01-01T09:00:00+01:00",
            "2026-06-15T12:00:00Z",
            "2026-06-16T09:00:00+02:00",
        ),
        // Completed exactly at a due date: the next one counts.
        (
            "FREQ=DAILY",
            "2026-01-01T09:00:00+01:00",
            "2026-06-15T07:00:00Z",
            "2026-06-16T09:00:00+02:00",
        ),
        (
            "FREQ=DAILY",
            "2026-01-01T09:00:00+01:00",
            "2026-06-15T06:59:59Z",
            "2026-06-15T09:00:00+02:00",
        ),
        // Every second week stays in the weeks of the series, whatever the week of the completion.
        (
            "FREQ=WEEKLY;INTERVAL=2",
            "2026-01-05T09:00:00+01:00",
            "2026-01-14T12:00:00Z",
            "2026-01-19T09:00:00+01:00",
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2",
            "2026-01-05T09:00:00+01:00",
            "2026-01-20T12:00:00Z",
            "2026-02-02T09:00:00+01:00",
        ),
        (
            "FREQ=MONTHLY",
            "2026-01-31T09:00:00+01:00",
            "2026-02-28T12:00:00Z",
            "2026-03-31T09:00:00+02:00",
        ),
        (
            "FREQ=MONTHLY;BYDAY=1MO",
            "2026-01-05T09:00:00+01:00",
            "2026-05-01T00:00:00Z",
            "2026-05-04T09:00:00+02:00",
        ),
        // Two thousand missed years take no longer than two.
        (
            "FREQ=DAILY",
            "0026-01-01T09:00:00Z",
            "2026-06-15T12:00:00Z",
            "2026-06-16T09:53:28+02:00",
        ),
    ] {
        let rule = rule(text);
        let series = Series {
            after: instant(after),
            ..due(&rule, "Europe/Berlin", instant(from))
        };
        let next = next(&series).unwrap().unwrap();
        assert_eq!(
            next.due,
            instant(expected),
            "{text} from {from}, completed {after}"
        );
    }
}

#[test]
fn from_the_completion_its_day_counts_and_the_time_of_day_stays() {
    for (text, from, completed, expected) in [
        (
            "FREQ=DAILY;INTERVAL=3",
            "2026-06-01T09:00:00+02:00",
            "2026-06-10T20:00:00+02:00",
            "2026-06-13T09:00:00+02:00",
        ),
        // Completed before the due date; then in the night after it.
        (
            "FREQ=DAILY",
            "2026-06-10T09:00:00+02:00",
            "2026-06-08T20:00:00+02:00",
            "2026-06-09T09:00:00+02:00",
        ),
        (
            "FREQ=DAILY",
            "2026-06-10T23:00:00+02:00",
            "2026-06-11T00:30:00+02:00",
            "2026-06-12T23:00:00+02:00",
        ),
        (
            "FREQ=MONTHLY",
            "2026-06-10T09:00:00+02:00",
            "2026-08-31T12:00:00+02:00",
            "2026-09-30T09:00:00+02:00",
        ),
        (
            "FREQ=WEEKLY;BYDAY=MO",
            "2026-06-01T09:00:00+02:00",
            "2026-06-10T12:00:00+02:00",
            "2026-06-15T09:00:00+02:00",
        ),
    ] {
        let rule = rule(text);
        let completed = instant(completed);
        let series = Series {
            counted_from: Some(completed),
            after: completed,
            ..due(&rule, "Europe/Berlin", instant(from))
        };
        let next = next(&series).unwrap().unwrap();
        assert_eq!(next.due, instant(expected), "{text} from {from}");
    }
}

#[test]
fn a_rule_ends_its_series() {
    let ends = |text: &str, from: &str| {
        let rule = rule(text);
        next(&due(&rule, "Europe/Berlin", instant(from)))
            .unwrap()
            .is_none()
    };
    // `UNTIL` with a day means a day in the zone.
    assert!(!ends(
        "FREQ=DAILY;UNTIL=20260702",
        "2026-07-01T00:30:00+02:00"
    ));
    assert!(ends(
        "FREQ=DAILY;UNTIL=20260701",
        "2026-07-01T00:30:00+02:00"
    ));
    // `UNTIL` with an instant includes that instant.
    assert!(!ends(
        "FREQ=DAILY;UNTIL=20260702T070000Z",
        "2026-07-01T09:00:00+02:00"
    ));
    assert!(ends(
        "FREQ=DAILY;UNTIL=20260702T065959Z",
        "2026-07-01T09:00:00+02:00"
    ));
    // The calendar does not count instances, so `COUNT` does not end a series here.
    assert!(!ends("FREQ=DAILY;COUNT=1", "2026-07-01T09:00:00+02:00"));
    assert!(ends("FREQ=DAILY", "9998-12-31T09:00:00Z"));
}

#[test]
fn a_monthly_series_returns_to_its_anchor_day() {
    monthly(31, "UTC", "2026-01-31T10:00:00Z → 2026-02-28T10:00:00Z");
    monthly(31, "UTC", "2026-02-28T10:00:00Z → 2026-03-31T10:00:00Z");
    monthly(31, "UTC", "2026-03-31T10:00:00Z → 2026-04-30T10:00:00Z");
    monthly(28, "UTC", "2026-02-28T10:00:00Z → 2026-03-28T10:00:00Z");
    monthly(30, "UTC", "2026-02-28T10:00:00Z → 2026-03-30T10:00:00Z");
    // The anchor day counts even if the due date is on another day.
    monthly(1, "UTC", "2026-01-31T10:00:00Z → 2026-02-01T10:00:00Z");
    monthly(31, "UTC", "2026-01-01T10:00:00Z → 2026-02-28T10:00:00Z");
}

#[test]
fn leap_years_have_a_29_february() {
    monthly(31, "UTC", "2028-01-31T10:00:00Z → 2028-02-29T10:00:00Z");
    monthly(29, "UTC", "2028-02-29T10:00:00Z → 2028-03-29T10:00:00Z");
    monthly(30, "UTC", "2000-01-30T10:00:00Z → 2000-02-29T10:00:00Z");
    monthly(30, "UTC", "2100-01-30T10:00:00Z → 2100-02-28T10:00:00Z");
    daily("UTC", "2028-02-28T10:00:00Z → 2028-02-29T10:00:00Z");
    weekly("UTC", "2028-02-29T10:00:00Z → 2028-03-07T10:00:00Z");
}

#[test]
fn a_series_goes_on_over_the_end_of_a_year() {
    daily("UTC", "2026-12-31T23:59:59Z → 2027-01-01T23:59:59Z");
    weekly(
        "Asia/Tokyo",
        "2026-12-28T08:00:00+09:00 → 2027-01-04T08:00:00+09:00",
    );
    monthly(
        31,
        "Europe/Berlin",
        "2026-12-31T08:00:00+01:00 → 2027-01-31T08:00:00+01:00",
    );
    // Already the next year in UTC, still December in New York.
    monthly(
        31,
        "America/New_York",
        "2026-12-31T20:00:00-05:00 → 2027-01-31T20:00:00-05:00",
    );
}

#[test]
fn anchor_days_of_no_month_are_refused() {
    let rule = rule("FREQ=MONTHLY");
    for anchor_day in [0, 32, 127, 128, 255] {
        let series = Series {
            anchor_day: Some(anchor_day),
            ..due(&rule, "UTC", instant("2026-01-31T10:00:00Z"))
        };
        assert_eq!(next(&series), Err(Error::InvalidAnchorDay));
    }
}
