//! The text of a rule.

use std::fmt;

use time::{Date, Month, Weekday};

use super::{Day, End, Frequency, Rule};
use crate::task::{Interval, InvalidValue};
use crate::timestamp::Timestamp;

/// The days of the week as RFC 5545 writes them, from Monday.
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

const FREQUENCIES: [(&str, Frequency); 4] = [
    ("DAILY", Frequency::Daily),
    ("WEEKLY", Frequency::Weekly),
    ("MONTHLY", Frequency::Monthly),
    ("YEARLY", Frequency::Yearly),
];

/// Parses a rule; whether it fits any date is not looked at.
pub(super) fn parse(text: &str) -> Result<Rule, InvalidValue> {
    if text.len() > Rule::LONGEST || !text.is_ascii() {
        return Err(InvalidValue::new(format!(
            "must have at most {} ASCII characters",
            Rule::LONGEST
        )));
    }
    let mut rule = Rule::every(Interval::Daily);
    let mut seen: Vec<String> = Vec::new();
    for part in text.to_ascii_uppercase().split(';') {
        let (name, value) = part.split_once('=').ok_or_else(|| {
            InvalidValue::new("must be parts such as FREQ=DAILY, with ; between them")
        })?;
        if seen.iter().any(|seen| seen == name) {
            return Err(InvalidValue::new("must not have a part twice"));
        }
        seen.push(name.to_owned());
        match name {
            "FREQ" => rule.frequency = frequency(value)?,
            "INTERVAL" => rule.interval = interval(value)?,
            "BYMONTH" => rule.by_month = list(value, month)?,
            "BYMONTHDAY" => rule.by_month_day = list(value, month_day)?,
            "BYDAY" => rule.by_day = list(value, day)?,
            "WKST" => rule.week_start = week_start(value)?,
            "COUNT" => rule.end = count(value)?,
            "UNTIL" => rule.end = until(value)?,
            _ => {
                return Err(InvalidValue::new(
                    "must have no other parts than FREQ, INTERVAL, BYMONTH, BYMONTHDAY, BYDAY, WKST, COUNT and UNTIL",
                ));
            }
        }
    }
    let has = |name: &str| seen.iter().any(|seen| seen == name);
    let has_ordinals = rule.by_day.iter().any(|day| day.ordinal != 0);
    let fault = if !has("FREQ") {
        Some("must have FREQ")
    } else if has("COUNT") && has("UNTIL") {
        Some("must not have both COUNT and UNTIL")
    } else if has("BYMONTHDAY") && rule.frequency == Frequency::Weekly {
        Some("must not have BYMONTHDAY with FREQ=WEEKLY")
    } else if has_ordinals && !matches!(rule.frequency, Frequency::Monthly | Frequency::Yearly) {
        Some("must number the days of BYDAY only with FREQ=MONTHLY or YEARLY")
    } else if has_ordinals
        && is_monthly(&rule)
        && rule.by_day.iter().any(|day| day.ordinal.abs() > 5)
    {
        Some("must not number a day of BYDAY over 5 in a month")
    } else {
        None
    };
    match fault {
        Some(fault) => Err(InvalidValue::new(fault)),
        None => Ok(rule),
    }
}

/// Whether ordinals count in months.
fn is_monthly(rule: &Rule) -> bool {
    rule.frequency == Frequency::Monthly || !rule.by_month.is_empty()
}

fn frequency(value: &str) -> Result<Frequency, InvalidValue> {
    let found = FREQUENCIES.iter().find(|(name, _)| *name == value);
    found
        .map(|(_, frequency)| *frequency)
        .ok_or_else(|| InvalidValue::new("must have FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"))
}

fn interval(value: &str) -> Result<u16, InvalidValue> {
    number(value, 1, i32::from(Rule::LARGEST_INTERVAL))
        .and_then(|interval| u16::try_from(interval).ok())
        .ok_or_else(|| {
            InvalidValue::new(format!(
                "must have an INTERVAL of 1 to {}",
                Rule::LARGEST_INTERVAL
            ))
        })
}

fn month(value: &str) -> Result<u8, InvalidValue> {
    number(value, 1, 12)
        .and_then(|month| u8::try_from(month).ok())
        .ok_or_else(|| InvalidValue::new("must have months of 1 to 12 in BYMONTH"))
}

fn month_day(value: &str) -> Result<i8, InvalidValue> {
    signed(value, 31)
        .ok_or_else(|| InvalidValue::new("must have days of 1 to 31 or -31 to -1 in BYMONTHDAY"))
}

fn day(value: &str) -> Result<Day, InvalidValue> {
    let invalid = || InvalidValue::new("must have days such as MO, 2TU or -1FR in BYDAY");
    let (ordinal, name) = value
        .split_at_checked(value.len().wrapping_sub(2))
        .ok_or_else(invalid)?;
    let ordinal = match ordinal {
        "" => 0,
        ordinal => signed(ordinal, 53).ok_or_else(invalid)?,
    };
    let weekday = weekday(name).ok_or_else(invalid)?;
    Ok(Day { ordinal, weekday })
}

fn week_start(value: &str) -> Result<Weekday, InvalidValue> {
    weekday(value)
        .map(|day| Weekday::Monday.nth_next(day))
        .ok_or_else(|| InvalidValue::new("must have a day such as MO in WKST"))
}

fn count(value: &str) -> Result<End, InvalidValue> {
    number(value, 1, i32::MAX)
        .and_then(|count| u32::try_from(count).ok())
        .map(End::Count)
        .ok_or_else(|| InvalidValue::new("must have a COUNT of 1 or more"))
}

fn until(value: &str) -> Result<End, InvalidValue> {
    let invalid = || {
        InvalidValue::new(
            "must have UNTIL as a day such as 20270131 or UTC such as 20270131T090000Z",
        )
    };
    let (date, time) = match value.split_once('T') {
        None => (value, None),
        Some((date, time)) => (date, Some(time.strip_suffix('Z').ok_or_else(invalid)?)),
    };
    let digits = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(date, 8) {
        return Err(invalid());
    }
    match time {
        None => {
            let part = |range: std::ops::Range<usize>| {
                date.get(range).and_then(|part| part.parse::<u16>().ok())
            };
            let (year, month, day) = (part(0..4), part(4..6), part(6..8));
            let date = year.zip(month).zip(day).and_then(|((year, month), day)| {
                let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
                let date =
                    Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?);
                date.ok().filter(|_| (1..=9998).contains(&year))
            });
            date.map(End::Day).ok_or_else(invalid)
        }
        Some(time) if digits(time, 6) => {
            let (year, rest) = date.split_at(4);
            let (month, day) = rest.split_at(2);
            let (hour, rest) = time.split_at(2);
            let (minute, second) = rest.split_at(2);
            let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
            Timestamp::parse(&text)
                .map(End::Instant)
                .map_err(|_| invalid())
        }
        Some(_) => Err(invalid()),
    }
}

/// The values of a list, in order, each once.
fn list<T: Ord>(
    text: &str,
    value: impl Fn(&str) -> Result<T, InvalidValue>,
) -> Result<Vec<T>, InvalidValue> {
    let mut values = text.split(',').map(value).collect::<Result<Vec<T>, _>>()?;
    values.sort();
    values.dedup();
    Ok(values)
}

/// A number from 1 on, or from -1 down, with a sign or not.
fn signed(text: &str, largest: i32) -> Option<i8> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    i8::try_from(sign * number(digits, 1, largest)?).ok()
}

fn number(digits: &str, smallest: i32, largest: i32) -> Option<i32> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number)?;
    (smallest..=largest).contains(&number).then_some(number)
}

fn weekday(name: &str) -> Option<u8> {
    let place = WEEKDAYS.iter().position(|known| *known == name)?;
    u8::try_from(place).ok()
}

/// Writes the rule.
pub(super) fn write(rule: &Rule, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let frequency = FREQUENCIES
        .iter()
        .find(|(_, known)| *known == rule.frequency);
    write!(formatter, "FREQ={}", frequency.map_or("", |(name, _)| name))?;
    if rule.interval > 1 {
        write!(formatter, ";INTERVAL={}", rule.interval)?;
    }
    let mut part = |name: &str, values: Vec<String>| match values.as_slice() {
        [] => Ok(()),
        values => write!(formatter, ";{name}={}", values.join(",")),
    };
    part(
        "BYMONTH",
        rule.by_month.iter().map(ToString::to_string).collect(),
    )?;
    part(
        "BYMONTHDAY",
        rule.by_month_day.iter().map(ToString::to_string).collect(),
    )?;
    part("BYDAY", rule.by_day.iter().map(day_text).collect())?;
    if rule.week_start != Weekday::Monday {
        let day = rule.week_start.number_days_from_monday();
        write!(formatter, ";WKST={}", WEEKDAYS[usize::from(day)])?;
    }
    match rule.end {
        End::Never => Ok(()),
        End::Count(count) => write!(formatter, ";COUNT={count}"),
        End::Day(day) => write!(formatter, ";UNTIL={}", compact(&day.to_string())),
        End::Instant(instant) => {
            // Whole seconds: RFC 5545 has no others.
            let text = instant.to_string();
            let (text, _) = text.split_once('.').unwrap_or((&text, ""));
            write!(formatter, ";UNTIL={}Z", compact(text))
        }
    }
}

fn day_text(day: &Day) -> String {
    let name = WEEKDAYS[usize::from(day.weekday)];
    match day.ordinal {
        0 => name.to_owned(),
        ordinal => format!("{ordinal}{name}"),
    }
}

/// A date or time without what separates its parts.
fn compact(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | ':')).collect()
}
