//! What clocks on a wall show.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::timestamp::{InvalidTimestamp, Timestamp};

/// A date and a time of day without a zone, to the microsecond, in the years 0001 to 9998. Written as RFC 3339 without an
/// offset, with six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock(Timestamp);

impl WallClock {
    /// From microseconds since 1970-01-01T00:00:00 on the same clock.
    ///
    /// # Errors
    ///
    /// [`InvalidTimestamp::Range`] outside the years 0001 to 9998.
    pub fn from_micros(micros: i64) -> Result<Self, InvalidTimestamp> {
        Timestamp::from_unix_micros(micros).map(Self)
    }

    /// From RFC 3339 text without an offset.
    ///
    /// # Errors
    ///
    /// When the text is none, or outside the years 0001 to 9998.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        Timestamp::parse(&format!("{text}Z")).map(Self)
    }

    /// Microseconds since 1970-01-01T00:00:00 on the same clock.
    pub fn micros(self) -> i64 {
        self.0.unix_micros()
    }
}

impl fmt::Display for WallClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        formatter.write_str(text.trim_end_matches('Z'))
    }
}

impl Serialize for WallClock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallClock {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_time_has_no_offset() {
        let clock = WallClock::parse("2027-03-28T02:30:00").unwrap();
        assert_eq!(clock.to_string(), "2027-03-28T02:30:00.000000");
        assert_eq!(WallClock::from_micros(clock.micros()), Ok(clock));
        for bad in [
            "2027-03-28T02:30:00Z",
            "2027-03-28T02:30:00+01:00",
            "2027-03-28",
            "",
        ] {
            assert!(WallClock::parse(bad).is_err(), "{bad}");
        }
    }
}
