//! Rules of recurrence against two other implementations of RFC 5545: `rrule` in Rust and `python-dateutil` in Python.

use std::env;
use std::process::Command;
use std::time::Duration;

use domain::rule::Rule;
use rrule::{RRuleSet, Tz};
use stack::fuzz::Fuzz;
use stack::report::Report;
use stack::{process, workspace};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, Month};

/// How long dateutil may take for each thousand rules.
const LIMIT: Duration = Duration::from_secs(60);

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// The dates by `rrule`; `None` if it cannot answer: it does not clamp days, and it soon stops looking.
fn by_rrule(rule: &str, start: Date, count: usize) -> Option<Vec<String>> {
    let names_days = rule.contains("BYMONTHDAY") || rule.contains("BYDAY");
    if start.day() > 28 && !names_days {
        return None;
    }
    let day = start.to_string().replace('-', "");
    let set: RRuleSet = format!("DTSTART:{day}T000000Z\nRRULE:{rule}")
        .parse()
        .ok()?;
    let from = set.get_dt_start().with_timezone(&Tz::UTC);
    let dates = set.after(from).all(u16::try_from(count + 1).ok()?);
    let dates: Vec<String> = dates
        .dates
        .iter()
        .map(|date| date.format("%Y-%m-%d").to_string())
        .collect();
    let start = start.to_string();
    Some(
        dates
            .into_iter()
            .filter(|date| *date > start)
            .take(count)
            .collect(),
    )
}

/// `RULES` is how many, `SEED` what the random ones begin with.
#[test]
fn random_rules_have_the_dates_that_others_give_them() {
    let setting = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let (count, seed) = (setting("RULES", "2000"), setting("SEED", "1"));
    let thousands: u32 = count.parse::<u32>().map_or(1, |count| count / 1000 + 1);
    let printed = Fuzz::prepare(&Report::silent()).and_then(|fuzz| {
        let mut python = Command::new(fuzz.python());
        python
            .arg(workspace::root().join("tests/fuzz/rules.py"))
            .args([&count, &seed]);
        process::read(python, LIMIT * thousands)
    });
    let printed = printed.unwrap_or_else(|error| panic!("{error:#}"));
    let (mut by_dateutil, mut by_both, mut without) = (0, 0, 0);
    for line in printed.lines() {
        let (text, start, expected): (String, String, Vec<String>) =
            match serde_json::from_str(line) {
                Ok(case) => case,
                Err(error) => panic!("{error}: {line}"),
            };
        let start = Date::parse(&start, DAY).unwrap_or(Date::MIN);
        let rule = match Rule::try_from(text.clone()) {
            Ok(rule) => rule,
            // It fits no date, whatever it begins with.
            Err(error) => {
                assert!(
                    expected.is_empty() && error.to_string() == "must fit some date",
                    "{line}: {error}"
                );
                without += 1;
                continue;
            }
        };
        let last =
            Date::from_calendar_date(start.year() + 40, Month::January, 1).unwrap_or(Date::MAX);
        let ours: Vec<String> = rule
            .dates_after(start, start.day(), start)
            .take_while(|date| *date < last)
            .take(6)
            .map(|date| date.to_string())
            .collect();
        assert_eq!(ours, expected, "{text} from {start}, dateutil");
        by_dateutil += 1;
        if !expected.is_empty()
            && let Some(theirs) = by_rrule(&text, start, expected.len())
            && !theirs.is_empty()
        {
            assert_eq!(ours[..theirs.len()], theirs, "{text} from {start}, rrule");
            by_both += 1;
        }
    }
    println!(
        "{by_dateutil} rules as dateutil has them, {by_both} as rrule has them too; {without} fit no date"
    );
    assert!(by_both * 2 > by_dateutil, "{by_both} of {by_dateutil}");
}
