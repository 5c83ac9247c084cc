//! Lengths of time as clients write them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A length of time, such as `PT30M` or `P1DT12H`: a duration of ISO 8601 in whole weeks, or in whole days, hours, minutes and
/// seconds. A day is 24 hours. Kept as it was written; two that are equally long are equal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    text: String,
    seconds: u32,
}

/// The text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidDuration;

impl fmt::Display for InvalidDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "must be an ISO 8601 duration in weeks, or in days, hours, minutes and seconds, such as PT30M or P1DT12H, with at \
             most 2 digits for weeks, 3 for days, 4 for hours, 5 for minutes and 6 for seconds",
        )
    }
}

impl std::error::Error for InvalidDuration {}

/// A unit: its letter, how many digits its number may have, and its length in seconds.
type Unit = (char, usize, u32);

const WEEK: Unit = ('W', 2, 604_800);
const DAY: Unit = ('D', 3, 86_400);
const TIME: [Unit; 3] = [('H', 4, 3_600), ('M', 5, 60), ('S', 6, 1)];

impl Duration {
    /// What its text looks like, as a regular expression. The digits bound the length: about four years.
    pub const PATTERN: &str = "^P([0-9]{1,2}W|[0-9]{1,3}D|([0-9]{1,3}D)?T(\
        [0-9]{1,4}H([0-9]{1,5}M)?([0-9]{1,6}S)?|[0-9]{1,5}M([0-9]{1,6}S)?|[0-9]{1,6}S))$";

    /// From its text.
    ///
    /// # Errors
    ///
    /// When it is not as [`Duration::PATTERN`] says.
    pub fn parse(text: &str) -> Result<Self, InvalidDuration> {
        let seconds = seconds(text).ok_or(InvalidDuration)?;
        Ok(Self {
            text: text.to_owned(),
            seconds,
        })
    }

    /// Its length.
    pub fn seconds(&self) -> u32 {
        self.seconds
    }
}

fn seconds(text: &str) -> Option<u32> {
    let mut rest = text.strip_prefix('P')?;
    if let Some(weeks) = take(&mut rest, WEEK) {
        return rest.is_empty().then_some(weeks);
    }
    let days = take(&mut rest, DAY);
    let Some(mut rest) = rest.strip_prefix('T') else {
        return if rest.is_empty() { days } else { None };
    };
    let time: Vec<u32> = TIME
        .iter()
        .filter_map(|unit| take(&mut rest, *unit))
        .collect();
    if time.is_empty() || !rest.is_empty() {
        return None;
    }
    Some(days.unwrap_or(0) + time.iter().sum::<u32>())
}

/// Takes a number and its unit from the beginning, if they are there.
fn take(rest: &mut &str, (letter, digits, length): Unit) -> Option<u32> {
    let (number, after) = rest.split_once(letter)?;
    let is_number =
        (1..=digits).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = number.parse().ok().filter(|_| is_number)?;
    *rest = after;
    Some(number * length)
}

impl PartialEq for Duration {
    fn eq(&self, other: &Self) -> bool {
        self.seconds == other.seconds
    }
}

impl Eq for Duration {}

impl TryFrom<String> for Duration {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, InvalidDuration> {
        Self::parse(&text)
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_has_its_length_in_seconds() {
        for (text, expected) in [
            ("PT30M", 1_800),
            ("P1D", 86_400),
            ("P2W", 1_209_600),
            ("P1DT12H", 129_600),
            ("PT1H30M5S", 5_405),
            ("PT1H5S", 3_605),
            ("PT0S", 0),
            ("P999DT9999H99999M999999S", 129_309_939),
        ] {
            let duration = Duration::parse(text).unwrap();
            assert_eq!(duration.seconds(), expected, "{text}");
            assert_eq!(String::from(duration), text);
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "1D",
            "p1d",
            "-PT5M",
            "PT-5M",
            "+PT5M",
            "PT1.5H",
            "P1Y",
            "P1M",
            "P1W2D",
            "P100W",
            "P1000D",
            "PT10000H",
            "PT100000M",
            "PT1000000S",
            "PT5S3M",
            "PT5M5M",
            "P1DT",
            " PT5M",
            "PT5M ",
            "PT٥M",
            "30",
        ] {
            assert_eq!(Duration::parse(text), Err(InvalidDuration), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_the_pattern_describes_is_read(text in Duration::PATTERN.trim_matches(['^', '$'])) {
            prop_assert!(Duration::parse(&text).is_ok());
        }

        #[test]
        fn no_text_makes_it_panic(text in "P?[0-9WDTHMS]{0,12}|.*") {
            let _ = Duration::parse(&text);
        }
    }
}
