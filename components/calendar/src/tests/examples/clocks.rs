//! Clocks that change, and days that a zone skips or has twice.

use domain::timestamp::Timestamp;
use jiff::tz::TimeZone;

use super::{check, daily, due, instant, monthly, rule, walk, weekly};
use crate::recurrence::next_in;

#[test]
fn wall_clock_time_is_kept_when_summer_begins_and_ends() {
    daily(
        "Europe/Berlin",
        "2026-03-28T09:00:00+01:00 → 2026-03-29T09:00:00+02:00",
    );
    daily(
        "Europe/Berlin",
        "2026-10-24T09:00:00+02:00 → 2026-10-25T09:00:00+01:00",
    );
    daily(
        "America/New_York",
        "2026-03-07T09:00:00-05:00 → 2026-03-08T09:00:00-04:00",
    );
    daily(
        "America/New_York",
        "2026-10-31T09:00:00-04:00 → 2026-11-01T09:00:00-05:00",
    );
    weekly(
        "Europe/Berlin",
        "2026-03-24T09:00:00+01:00 → 2026-03-31T09:00:00+02:00",
    );
    weekly(
        "America/New_York",
        "2026-10-30T09:00:00-04:00 → 2026-11-06T09:00:00-05:00",
    );
    monthly(
        15,
        "Europe/Berlin",
        "2026-03-15T09:00:00+01:00 → 2026-04-15T09:00:00+02:00",
    );
    monthly(
        15,
        "America/New_York",
        "2026-10-15T09:00:00-04:00 → 2026-11-15T09:00:00-05:00",
    );
}

#[test]
fn fractions_of_a_second_are_kept() {
    daily(
        "Europe/Berlin",
        "2026-03-28T09:00:00.123456+01:00 → 2026-03-29T09:00:00.123456+02:00",
    );
    daily(
        "UTC",
        "1969-12-30T23:59:59.999999Z → 1969-12-31T23:59:59.999999Z",
    );
    monthly(
        31,
        "UTC",
        "1899-12-31T23:59:59.000001Z → 1900-01-31T23:59:59.000001Z",
    );
}

#[test]
fn a_skipped_time_moves_forward_by_the_length_of_the_gap() {
    daily(
        "Europe/Berlin",
        "2026-03-28T02:30:00+01:00 → 2026-03-29T03:30:00+02:00",
    );
    weekly(
        "Europe/Berlin",
        "2026-03-22T02:00:00+01:00 → 2026-03-29T03:00:00+02:00",
    );
    monthly(
        29,
        "Europe/Berlin",
        "2026-02-28T02:30:00+01:00 → 2026-03-29T03:30:00+02:00",
    );
    daily(
        "America/New_York",
        "2026-03-07T02:59:59.5-05:00 → 2026-03-08T03:59:59.5-04:00",
    );
    // Half an hour only.
    daily(
        "Australia/Lord_Howe",
        "2026-10-03T02:15:00+10:30 → 2026-10-04T02:45:00+11:00",
    );
    // The gap begins at midnight: the day has no first hour.
    daily(
        "Asia/Beirut",
        "2026-03-28T00:00:00+02:00 → 2026-03-29T01:00:00+03:00",
    );
}

#[test]
fn a_series_returns_to_the_time_that_it_was_moved_from() {
    walk(
        "FREQ=DAILY",
        "Europe/Berlin",
        &[
            "2026-03-28T02:30:00+01:00",
            "2026-03-29T03:30:00+02:00",
            "2026-03-30T02:30:00+02:00",
        ],
    );
    walk(
        "FREQ=WEEKLY;BYDAY=SU",
        "Europe/Berlin",
        &[
            "2026-03-22T02:30:00+01:00",
            "2026-03-29T03:30:00+02:00",
            "2026-04-05T02:30:00+02:00",
        ],
    );
    // Without the wall-clock time that was skipped, the moved time counts.
    daily(
        "Europe/Berlin",
        "2026-03-29T03:30:00+02:00 → 2026-03-30T03:30:00+02:00",
    );
}

#[test]
fn a_repeated_time_means_its_first_occurrence() {
    daily(
        "Europe/Berlin",
        "2026-10-24T02:30:00+02:00 → 2026-10-25T02:30:00+02:00",
    );
    daily(
        "America/New_York",
        "2026-10-31T01:30:00-04:00 → 2026-11-01T01:30:00-04:00",
    );
    monthly(
        25,
        "Europe/Berlin",
        "2026-09-25T02:30:00+02:00 → 2026-10-25T02:30:00+02:00",
    );
    // Both occurrences lead to the same time on the next day.
    daily(
        "Europe/Berlin",
        "2026-10-25T02:30:00+02:00 → 2026-10-26T02:30:00+01:00",
    );
    daily(
        "Europe/Berlin",
        "2026-10-25T02:30:00+01:00 → 2026-10-26T02:30:00+01:00",
    );
}

/// Samoa moved across the date line: 29 December 2011 was followed by 31 December.
#[test]
fn a_day_that_a_zone_left_out_becomes_the_next() {
    let apia = "Pacific/Apia";
    walk(
        "FREQ=DAILY",
        apia,
        &[
            "2011-12-29T10:00:00-10:00",
            "2011-12-31T10:00:00+14:00",
            "2012-01-01T10:00:00+14:00",
        ],
    );
    // Every Friday, though one of them is a Saturday.
    walk(
        "FREQ=WEEKLY",
        apia,
        &[
            "2011-12-23T10:00:00-10:00",
            "2011-12-31T10:00:00+14:00",
            "2012-01-06T10:00:00+14:00",
        ],
    );
    walk(
        "FREQ=MONTHLY",
        apia,
        &[
            "2011-11-30T10:00:00-10:00",
            "2011-12-31T10:00:00+14:00",
            "2012-01-30T10:00:00+14:00",
        ],
    );
}

/// Kiritimati skipped 31 December 1994: the instance is due on 1 January and counts as December's.
#[test]
fn a_day_left_out_at_a_months_end_counts_for_its_month() {
    walk(
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "Pacific/Kiritimati",
        &[
            "1994-11-30T10:00:00-10:00",
            "1995-01-01T10:00:00+14:00",
            "1995-01-31T10:00:00+14:00",
        ],
    );
}

/// Alaska moved across the date line the other way: in Juneau 18 October 1867, 15:33:32, came twice, a day apart.
#[test]
fn a_repeated_day_is_not_answered_with_the_past() {
    let juneau = "America/Juneau";
    daily(
        juneau,
        "1867-10-17T16:00:00+15:02:19 → 1867-10-18T16:00:00+15:02:19",
    );
    daily(
        juneau,
        "1867-10-18T16:00:00+15:02:19 → 1867-10-19T16:00:00-08:57:41",
    );
    daily(
        juneau,
        "1867-10-18T16:00:00-08:57:41 → 1867-10-19T16:00:00-08:57:41",
    );
}

/// An invented zone: at midnight of 10 January its clocks go from 24 hours ahead of UTC to 24 hours behind.
#[test]
fn clocks_that_go_back_two_days_still_give_a_later_answer() {
    let zone = TimeZone::posix("AAA-24BBB24,J10/0,J200/0").unwrap();
    let change = instant("2026-01-09T00:00:00Z").unix_micros();
    for hours in -1000..100 {
        let from = Timestamp::from_unix_micros(change + hours * 3_600_000_000).unwrap();
        for text in [
            "FREQ=DAILY",
            "FREQ=WEEKLY",
            "FREQ=MONTHLY",
            "FREQ=MONTHLY;BYMONTHDAY=10",
        ] {
            let rule = rule(text);
            let next = next_in(&zone, &due(&rule, "", from)).unwrap();
            assert!(next.due > from, "{text} after {from}");
        }
    }
}

#[test]
fn the_day_of_the_month_is_the_day_in_the_zone() {
    // 1 February in Berlin.
    check(
        "FREQ=MONTHLY",
        None,
        "Europe/Berlin",
        "2026-01-31T23:30:00Z → 2026-02-28T23:30:00Z",
    );
    check(
        "FREQ=MONTHLY",
        None,
        "UTC",
        "2026-01-31T23:30:00Z → 2026-02-28T23:30:00Z",
    );
    check(
        "FREQ=MONTHLY;BYMONTHDAY=1",
        None,
        "America/New_York",
        "2026-02-01T05:30:00Z → 2026-03-01T05:30:00Z",
    );
}
