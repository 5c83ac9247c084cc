//! The values that a task is made of.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that no part of the service may carry: PostgreSQL cannot store NUL.
fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// A task's title: 1 to [`Title::LONGEST`] characters after trimming white space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Title(String);

/// A task's description: at most [`Description::LONGEST`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Description(String);

/// A label: 1 to [`Tag::LONGEST`] characters after trimming, without a comma, which separates tags in queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Tag(String);

/// Up to [`Tags::MOST`] tags, in the order given, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tag>")]
pub struct Tags(Vec<Tag>);

/// The name of a time zone, well formed but not looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TimeZoneName(String);

/// How urgent a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Can wait.
    Low,
    /// The default.
    #[default]
    Medium,
    /// Should be next.
    High,
}

/// How far apart the instances of a recurring task are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// Every day at the same wall-clock time.
    Daily,
    /// Every seven days at the same wall-clock time.
    Weekly,
    /// Every month on the series' anchor day.
    Monthly,
}

/// A value that breaks the rule of its type, which the message states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidValue(Cow<'static, str>);

impl InvalidValue {
    pub(crate) fn new(rule: impl Into<Cow<'static, str>>) -> Self {
        Self(rule.into())
    }

    fn nul() -> Self {
        Self::new("must not contain NUL")
    }

    fn trimmed_length(longest: usize) -> Self {
        Self::new(format!(
            "must have 1 to {longest} characters, not counting white space around them"
        ))
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidValue {}

impl Title {
    /// How many characters it may have.
    pub const LONGEST: usize = 200;
}

impl Description {
    /// How many characters it may have.
    pub const LONGEST: usize = 1000;
}

impl Tag {
    /// How many characters it may have.
    pub const LONGEST: usize = 50;
}

/// The names of the time-zone database, in its own spelling. A test of the calendar component compares them with its copy.
const TIME_ZONES: &str = include_str!("time_zones.txt");

impl TimeZoneName {
    /// How many characters it may have.
    pub const LONGEST: usize = 64;
    /// The characters that it may have beside ASCII letters and digits.
    pub const SYMBOLS: &str = "_+-/";
}

/// Without the white space around it: Unicode's, and the mark of byte order, which is white space in the patterns of the API's
/// description (ECMA-262) and nothing that one sees.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || character == '\u{feff}')
}

impl TryFrom<String> for Title {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        let title = trimmed(&text);
        if has_nul(title) {
            return Err(InvalidValue::nul());
        }
        match title.chars().count() {
            1..=Self::LONGEST => Ok(Self(title.to_owned())),
            _ => Err(InvalidValue::trimmed_length(Self::LONGEST)),
        }
    }
}

impl TryFrom<String> for Description {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        if has_nul(&text) {
            return Err(InvalidValue::nul());
        }
        match text.chars().count() {
            0..=Self::LONGEST => Ok(Self(text)),
            _ => Err(InvalidValue::new(format!(
                "must have at most {} characters",
                Self::LONGEST
            ))),
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        let tag = trimmed(&text);
        if has_nul(tag) || tag.contains(',') {
            return Err(InvalidValue::new("must not contain NUL or a comma"));
        }
        match tag.chars().count() {
            1..=Self::LONGEST => Ok(Self(tag.to_owned())),
            _ => Err(InvalidValue::trimmed_length(Self::LONGEST)),
        }
    }
}

impl TryFrom<Vec<Tag>> for Tags {
    type Error = InvalidValue;

    fn try_from(tags: Vec<Tag>) -> Result<Self, InvalidValue> {
        if tags.len() > Self::MOST {
            return Err(InvalidValue::new(format!(
                "must have at most {} tags",
                Self::MOST
            )));
        }
        let mut distinct: Vec<Tag> = Vec::with_capacity(tags.len());
        for tag in tags {
            if !distinct.contains(&tag) {
                distinct.push(tag);
            }
        }
        Ok(Self(distinct))
    }
}

impl Tags {
    /// How many may be given.
    pub const MOST: usize = 10;

    /// The tags as text, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|tag| tag.0.as_str())
    }
}

impl TryFrom<String> for TimeZoneName {
    type Error = InvalidValue;

    fn try_from(name: String) -> Result<Self, InvalidValue> {
        if TIME_ZONES.lines().any(|known| known == name) {
            Ok(Self(name))
        } else {
            Err(InvalidValue::new(
                "must be a name of the IANA time-zone database, such as Europe/Berlin",
            ))
        }
    }
}

impl Default for TimeZoneName {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

impl TimeZoneName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Interval {
    /// Every interval, from short to long.
    pub const ALL: [Self; 3] = [Self::Daily, Self::Weekly, Self::Monthly];
}

impl Priority {
    /// Every priority, from low to high.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// The priority's name in JSON, queries and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The priority of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_trimmed_and_counted_in_characters() {
        assert_eq!(
            Title::try_from("  Water plants\n".to_owned()).unwrap().0,
            "Water plants"
        );
        assert!(Title::try_from("é".repeat(200)).is_ok());
        for bad in [
            String::new(),
            " \t".to_owned(),
            "\u{feff} ".to_owned(),
            "é".repeat(201),
            "a\0b".to_owned(),
        ] {
            assert!(Title::try_from(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_are_distinct_and_at_most_ten() {
        let tags = |names: &[&str]| {
            let tags: Result<Vec<Tag>, _> = names
                .iter()
                .map(|name| Tag::try_from((*name).to_owned()))
                .collect();
            tags.and_then(Tags::try_from)
        };
        assert_eq!(
            tags(&["home", " home ", "garden"])
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            ["home", "garden"]
        );
        assert!(tags(&["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]).is_ok());
        assert!(tags(&["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]).is_err());
        assert!(tags(&["1"; 11]).is_err());
        assert!(tags(&["a,b"]).is_err());
        assert!(tags(&[""]).is_err());
    }
}
