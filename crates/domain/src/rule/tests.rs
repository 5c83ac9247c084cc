use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use time::{Date, Month};

use super::*;

fn rule(text: &str) -> Rule {
    Rule::try_from(text.to_owned()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn date(text: &str) -> Date {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<u16>().unwrap());
    let mut part = || parts.next().unwrap();
    let (year, month, day) = (part(), part() as u8, part() as u8);
    Date::from_calendar_date(i32::from(year), Month::try_from(month).unwrap(), day).unwrap()
}

/// The next dates after `from`, with its day as the anchor.
fn next(text: &str, from: &str, count: usize) -> Vec<String> {
    let from = date(from);
    rule(text)
        .dates_after(from, from.day(), from)
        .take(count)
        .map(|date| date.to_string())
        .collect()
}

#[test]
fn a_rule_has_one_text() {
    for (given, canonical) in [
        ("freq=daily", "FREQ=DAILY"),
        ("INTERVAL=1;FREQ=WEEKLY;WKST=MO", "FREQ=WEEKLY"),
        (
            "BYDAY=TH,MO,MO;FREQ=WEEKLY;INTERVAL=2;WKST=SU",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;WKST=SU",
        ),
        (
            "FREQ=MONTHLY;BYDAY=+1MO,-1FR",
            "FREQ=MONTHLY;BYDAY=-1FR,1MO",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-1,15",
            "FREQ=MONTHLY;BYMONTHDAY=-1,15",
        ),
        (
            "FREQ=YEARLY;BYMONTH=3,1;COUNT=5",
            "FREQ=YEARLY;BYMONTH=1,3;COUNT=5",
        ),
        ("FREQ=DAILY;UNTIL=20270131", "FREQ=DAILY;UNTIL=20270131"),
        (
            "FREQ=DAILY;UNTIL=20270131T090000Z",
            "FREQ=DAILY;UNTIL=20270131T090000Z",
        ),
    ] {
        assert_eq!(rule(given).to_string(), canonical);
        assert_eq!(rule(canonical), rule(given));
    }
}

#[test]
fn what_is_no_rule_of_the_subset_is_refused() {
    for bad in [
        "",
        "DAILY",
        "FREQ",
        "FREQ=HOURLY",
        "INTERVAL=2",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=1001",
        "FREQ=DAILY;INTERVAL=+2",
        "FREQ=DAILY;BYSETPOS=1",
        "FREQ=DAILY;BYHOUR=9",
        "FREQ=DAILY;",
        "RRULE:FREQ=DAILY",
        "FREQ=WEEKLY;BYDAY=",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=WEEKLY;BYDAY=É",
        "FREQ=WEEKLY;BYDAY=M",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=DAILY;BYDAY=1MO",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=YEARLY;BYDAY=54MO",
        "FREQ=YEARLY;BYMONTH=1;BYDAY=6MO",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=--1",
        "FREQ=YEARLY;BYMONTH=13",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=1;UNTIL=20270131",
        "FREQ=DAILY;UNTIL=2027-01-31",
        "FREQ=DAILY;UNTIL=20270230",
        "FREQ=DAILY;UNTIL=00000101",
        // Without a zone it would mean different instants to different readers.
        "FREQ=DAILY;UNTIL=20270131T090000",
        // No date fits.
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=4;BYMONTHDAY=31",
        "FREQ=MONTHLY;BYMONTHDAY=1;BYDAY=2MO",
    ] {
        assert!(Rule::try_from(bad.to_owned()).is_err(), "{bad}");
    }
    assert!(Rule::try_from(format!("FREQ=WEEKLY;BYDAY={}", "MO,".repeat(80))).is_err());
}

#[test]
fn intervals_are_rules() {
    for interval in Interval::ALL {
        assert_eq!(Rule::every(interval).as_interval(), Some(interval));
    }
    assert_eq!(rule("FREQ=MONTHLY").as_interval(), Some(Interval::Monthly));
    assert_eq!(rule("FREQ=MONTHLY;COUNT=9").as_interval(), None);
    assert_eq!(rule("FREQ=YEARLY").as_interval(), None);
}

#[test]
fn common_rules_have_the_expected_dates() {
    for (text, from, expected) in [
        // Every weekday: Thursday, Friday, Monday.
        (
            "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
            "2026-12-02",
            ["2026-12-03", "2026-12-04", "2026-12-07"],
        ),
        // Every second week on Monday and Thursday, from a Thursday.
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH",
            "2026-12-03",
            ["2026-12-14", "2026-12-17", "2026-12-28"],
        ),
        // Where the week begins decides which week a Sunday belongs to.
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU",
            "1997-08-05",
            ["1997-08-10", "1997-08-19", "1997-08-24"],
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
            "1997-08-05",
            ["1997-08-17", "1997-08-19", "1997-08-31"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=2TU",
            "2026-12-08",
            ["2027-01-12", "2027-02-09", "2027-03-09"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=-1FR",
            "2026-12-25",
            ["2027-01-29", "2027-02-26", "2027-03-26"],
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-1",
            "2027-01-31",
            ["2027-02-28", "2027-03-31", "2027-04-30"],
        ),
        // A month without the named day is left out; a day taken from the date before is clamped.
        (
            "FREQ=MONTHLY;BYMONTHDAY=31",
            "2027-01-31",
            ["2027-03-31", "2027-05-31", "2027-07-31"],
        ),
        (
            "FREQ=MONTHLY",
            "2027-01-31",
            ["2027-02-28", "2027-03-31", "2027-04-30"],
        ),
        (
            "FREQ=YEARLY",
            "2024-02-29",
            ["2025-02-28", "2026-02-28", "2027-02-28"],
        ),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
            "2024-02-29",
            ["2028-02-29", "2032-02-29", "2036-02-29"],
        ),
        (
            "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            "2026-11-26",
            ["2027-11-25", "2028-11-23", "2029-11-22"],
        ),
        (
            "FREQ=YEARLY;BYDAY=20MO",
            "1997-05-19",
            ["1998-05-18", "1999-05-17", "2000-05-15"],
        ),
        // Friday the 13th.
        (
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
            "1998-02-13",
            ["1998-03-13", "1998-11-13", "1999-08-13"],
        ),
        (
            "FREQ=DAILY;INTERVAL=10",
            "2026-12-25",
            ["2027-01-04", "2027-01-14", "2027-01-24"],
        ),
        (
            "FREQ=DAILY;BYMONTH=1",
            "2027-01-31",
            ["2028-01-01", "2028-01-02", "2028-01-03"],
        ),
    ] {
        assert_eq!(next(text, from, 3), expected, "{text} after {from}");
    }
}

#[test]
fn a_pattern_that_never_meets_its_condition_ends() {
    // From a Tuesday on, every seventh day is a Tuesday.
    assert!(next("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "2026-12-01", 1).is_empty());
    assert!(next("FREQ=MONTHLY;INTERVAL=12;BYMONTH=2", "2026-01-01", 1).is_empty());
}

#[test]
fn no_date_lies_after_the_year_9998() {
    assert_eq!(next("FREQ=DAILY", "9998-12-30", 5), ["9998-12-31"]);
    assert!(next("FREQ=YEARLY;INTERVAL=1000", "9000-01-01", 5).is_empty());
    assert!(next("FREQ=MONTHLY;BYMONTHDAY=31", "9998-12-31", 5).is_empty());
}

/// The text of a random rule, valid in itself.
fn rules() -> impl Strategy<Value = String> {
    let numbers =
        |range: std::ops::RangeInclusive<i8>| range.filter(|n| *n != 0).collect::<Vec<_>>();
    (
        select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
        prop_oneof![Just(1_u16), 1..=4_u16, 1..=60_u16],
        prop_oneof![3 => Just(vec![]), 1 => subsequence((1..=12).collect::<Vec<i8>>(), 1..=4)],
        prop_oneof![2 => Just(vec![]), 1 => subsequence(numbers(-31..=31), 1..=4)],
        prop_oneof![1 => Just(vec![]), 1 => subsequence(WEEKDAY_NAMES.to_vec(), 1..=5)],
        select(numbers(-5..=5)),
        any::<bool>(),
        select(WEEKDAY_NAMES.to_vec()),
    )
        .prop_map(
            |(frequency, interval, months, month_days, days, ordinal, is_nth, start)| {
                let mut text = format!("FREQ={frequency};INTERVAL={interval};WKST={start}");
                let join = |values: &[i8]| {
                    values
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(",")
                };
                if !months.is_empty() {
                    text += &format!(";BYMONTH={}", join(&months));
                }
                if !month_days.is_empty() && frequency != "WEEKLY" {
                    text += &format!(";BYMONTHDAY={}", join(&month_days));
                }
                if !days.is_empty() {
                    let is_nth = is_nth && (frequency == "MONTHLY" || frequency == "YEARLY");
                    let day = |day: &&str| {
                        if is_nth {
                            format!("{ordinal}{day}")
                        } else {
                            (*day).to_owned()
                        }
                    };
                    text += &format!(
                        ";BYDAY={}",
                        days.iter().map(day).collect::<Vec<_>>().join(",")
                    );
                }
                text
            },
        )
}

const WEEKDAY_NAMES: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

fn dates() -> impl Strategy<Value = Date> {
    (2_415_021..2_500_000_i32).prop_map(|day| Date::from_julian_day(day).unwrap())
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_a_rule_reads_as_it_is_written(text in "[A-Z0-9=;,+-]{0,60}", valid in rules()) {
        for text in [text, valid] {
            if let Ok(rule) = Rule::try_from(text) {
                prop_assert_eq!(Rule::try_from(rule.to_string()), Ok(rule));
            }
        }
    }

    #[test]
    fn dates_come_in_order_and_a_later_start_leaves_out_the_earlier(
        text in rules(), from in dates(), days in 0..1_000_i64,
    ) {
        let Ok(rule) = Rule::try_from(text) else { return Ok(()) };
        let earliest = from + Duration::days(days);
        let all: Vec<Date> = rule.dates_after(from, from.day(), from).take(1_100).collect();
        prop_assert!(all.iter().all(|date| *date > from));
        prop_assert!(all.is_sorted_by(|one, other| one < other));
        let later: Vec<Date> = rule.dates_after(from, from.day(), earliest).take(3).collect();
        let expected: Vec<Date> = all.into_iter().filter(|date| *date >= earliest).take(3).collect();
        prop_assert_eq!(&later[..expected.len()], &expected[..]);
    }
}
