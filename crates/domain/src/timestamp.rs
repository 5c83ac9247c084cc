//! Instants.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// An instant with microsecond precision, in the years 0001 to 9998 (UTC).
///
/// Both ends keep their distance from what PostgreSQL and the calendar can hold, so that no rule applied to a valid
/// instant leaves their range. Written as RFC 3339 in UTC with six decimals. The default is the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix_micros: i64,
}

/// Why a string is not an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidTimestamp {
    /// Not RFC 3339, or without an offset.
    Format,
    /// Outside the years 0001 to 9998.
    Range,
}

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Format => {
                "must be an RFC 3339 date-time with an offset, such as 2026-01-31T09:00:00+01:00"
            }
            Self::Range => "must lie in the years 0001 to 9998",
        })
    }
}

impl std::error::Error for InvalidTimestamp {}

impl Timestamp {
    /// From microseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`InvalidTimestamp::Range`] outside the years 0001 to 9998.
    pub fn from_unix_micros(unix_micros: i64) -> Result<Self, InvalidTimestamp> {
        let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_micros) * 1_000)
            .map_err(|_| InvalidTimestamp::Range)?;
        if !(1..=9998).contains(&instant.year()) {
            return Err(InvalidTimestamp::Range);
        }
        Ok(Self { unix_micros })
    }

    /// From RFC 3339 text with any offset. Digits beyond the microsecond are cut off.
    ///
    /// # Errors
    ///
    /// When the text is no such date-time or outside the years 0001 to 9998.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let instant =
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp::Format)?;
        let micros = i64::try_from(instant.unix_timestamp_nanos().div_euclid(1_000));
        Self::from_unix_micros(micros.map_err(|_| InvalidTimestamp::Range)?)
    }

    /// Microseconds since the Unix epoch.
    pub fn unix_micros(self) -> i64 {
        self.unix_micros
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.unix_micros) * 1_000)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH)
                .to_offset(UtcOffset::UTC);
        let (year, month, day) = instant.to_calendar_date();
        let (hour, minute, second, micro) = instant.to_hms_micro();
        write!(
            formatter,
            "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z",
            u8::from(month)
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_offset_is_kept_as_an_instant() {
        let parsed = Timestamp::parse("2026-03-29T02:30:00.1234567+02:00").unwrap();
        assert_eq!(parsed.to_string(), "2026-03-29T00:30:00.123456Z");
    }

    #[test]
    fn text_without_an_offset_or_date_is_refused() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T10:00:00",
            "2026-02-30T10:00:00Z",
            "2026-01-01T25:00:00Z",
            "tomorrow",
            "2026-01-01T10:00:00Z; DROP TABLE tasks",
        ] {
            assert_eq!(
                Timestamp::parse(text),
                Err(InvalidTimestamp::Format),
                "{text}"
            );
        }
    }

    #[test]
    fn the_ends_of_the_range_are_refused() {
        for text in [
            "0000-12-31T23:59:59Z",
            "9999-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
        ] {
            assert_eq!(
                Timestamp::parse(text),
                Err(InvalidTimestamp::Range),
                "{text}"
            );
        }
        assert_eq!(
            Timestamp::from_unix_micros(i64::MAX),
            Err(InvalidTimestamp::Range)
        );
        assert_eq!(
            Timestamp::from_unix_micros(i64::MIN),
            Err(InvalidTimestamp::Range)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(micros in -62_135_596_800_000_000i64..253_370_764_800_000_000) {
            let timestamp = Timestamp::from_unix_micros(micros).unwrap();
            prop_assert_eq!(Timestamp::parse(&timestamp.to_string()), Ok(timestamp));
        }

        #[test]
        fn order_of_text_is_order_of_time(a in 0i64..253_370_764_800_000_000, b in 0i64..253_370_764_800_000_000) {
            let (a, b) = (Timestamp::from_unix_micros(a).unwrap(), Timestamp::from_unix_micros(b).unwrap());
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
