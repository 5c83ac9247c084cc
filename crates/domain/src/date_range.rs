//! A range of days.

use time::Date;
use time::format_description::well_known::Iso8601;
use time::{Duration, OffsetDateTime};

use crate::query::Query;
use crate::violation::Violation;

/// The parameters of a range.
pub const PARAMETERS: [&str; 2] = ["from", "to"];

/// How many days a range may have.
pub const MOST_DAYS: i64 = 366;

/// How many days a range has by default.
pub const DEFAULT_DAYS: i64 = 30;

/// UTC days, both ends included: 1 to 366 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    from: Date,
    to: Date,
}

impl DateRange {
    /// Reads the parameters `from` and `to`, dates such as `2026-01-31`. Without `to` the range ends `today`; without
    /// `from` it has 30 days. `today` is in days since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Every violation found, by parameter.
    pub fn parse(query: &str, today: i32) -> Result<Self, Vec<Violation>> {
        let query = Query::parse(query, &PARAMETERS)?;
        let mut violations = Vec::new();
        let mut date = |name: &str| {
            let parsed = query
                .get(name)
                .map(|text| Date::parse(text, &Iso8601::DATE))?;
            parsed
                .map_err(|_| {
                    violations.push(Violation::parameter(
                        name,
                        "must be a date such as 2026-01-31",
                    ))
                })
                .ok()
        };
        let (from, to) = (date("from"), date("to"));
        let epoch = OffsetDateTime::UNIX_EPOCH.date();
        let today = epoch
            .checked_add(Duration::days(i64::from(today)))
            .unwrap_or(epoch);
        let to = to.unwrap_or(today);
        let from = from
            .or_else(|| to.checked_sub(Duration::days(DEFAULT_DAYS - 1)))
            .unwrap_or(to);
        if violations.is_empty() && !(0..MOST_DAYS).contains(&(to - from).whole_days()) {
            violations.push(Violation::parameter(
                "from",
                format!("must be 0 to {} days before `to`", MOST_DAYS - 1),
            ));
        }
        if violations.is_empty() {
            Ok(Self { from, to })
        } else {
            Err(violations)
        }
    }

    /// The first day, as ISO 8601.
    pub fn from(&self) -> String {
        iso(self.from)
    }

    /// The last day, as ISO 8601.
    pub fn to(&self) -> String {
        iso(self.to)
    }
}

fn iso(date: Date) -> String {
    let (year, month, day) = date.to_calendar_date();
    format!("{year:04}-{:02}-{day:02}", u8::from(month))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 31 January 2026.
    const TODAY: i32 = 20_484;

    fn parse(query: &str) -> Option<(String, String)> {
        DateRange::parse(query, TODAY)
            .ok()
            .map(|range| (range.from(), range.to()))
    }

    fn range(from: &str, to: &str) -> Option<(String, String)> {
        Some((from.to_owned(), to.to_owned()))
    }

    #[test]
    fn ends_of_a_range_have_defaults() {
        assert_eq!(parse(""), range("2026-01-02", "2026-01-31"));
        assert_eq!(parse("to=2025-03-01"), range("2025-01-31", "2025-03-01"));
        assert_eq!(parse("from=2026-01-31"), range("2026-01-31", "2026-01-31"));
    }

    #[test]
    fn a_range_is_neither_backward_nor_longer_than_a_leap_year() {
        assert_eq!(
            parse("from=2024-01-01&to=2024-12-31"),
            range("2024-01-01", "2024-12-31")
        );
        for bad in [
            "from=2024-01-01&to=2025-01-01",
            "from=2026-02-01",
            "from=x",
            "to=2026-02-30",
            "day=1",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(from in "[-+0-9T:WZ]{0,14}", to in "[-+0-9T:WZ]{0,14}", today: i32) {
            let _ = DateRange::parse(&format!("from={from}&to={to}"), today);
        }
    }
}
