//! The values that a task is made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that no part of the service may carry: PostgreSQL cannot store NUL.
fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// A task's title: 1 to 200 characters after trimming white space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Title(String);

/// A task's description: at most 1000 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Description(String);

/// A label: 1 to 50 characters after trimming, without a comma, which separates tags in queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Tag(String);

/// Up to ten different tags, in the order given.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidValue(&'static str);

impl fmt::Display for InvalidValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for InvalidValue {}

impl TryFrom<String> for Title {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        let title = text.trim();
        if has_nul(title) {
            return Err(InvalidValue("must not contain NUL"));
        }
        match title.chars().count() {
            1..=200 => Ok(Self(title.to_owned())),
            _ => Err(InvalidValue(
                "must have 1 to 200 characters, not counting white space around them",
            )),
        }
    }
}

impl TryFrom<String> for Description {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        if has_nul(&text) {
            return Err(InvalidValue("must not contain NUL"));
        }
        match text.chars().count() {
            0..=1000 => Ok(Self(text)),
            _ => Err(InvalidValue("must have at most 1000 characters")),
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        let tag = text.trim();
        if has_nul(tag) || tag.contains(',') {
            return Err(InvalidValue("must not contain NUL or a comma"));
        }
        match tag.chars().count() {
            1..=50 => Ok(Self(tag.to_owned())),
            _ => Err(InvalidValue(
                "must have 1 to 50 characters, not counting white space around them",
            )),
        }
    }
}

impl TryFrom<Vec<Tag>> for Tags {
    type Error = InvalidValue;

    fn try_from(tags: Vec<Tag>) -> Result<Self, InvalidValue> {
        let mut distinct: Vec<Tag> = Vec::with_capacity(tags.len().min(11));
        for tag in tags {
            if !distinct.contains(&tag) {
                distinct.push(tag);
            }
            if distinct.len() > 10 {
                return Err(InvalidValue("must have at most 10 tags"));
            }
        }
        Ok(Self(distinct))
    }
}

impl Tags {
    /// The tags as text, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|tag| tag.0.as_str())
    }
}

impl TryFrom<String> for TimeZoneName {
    type Error = InvalidValue;

    fn try_from(name: String) -> Result<Self, InvalidValue> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
        if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name))
        } else {
            Err(InvalidValue(
                "must be an IANA time-zone name, such as Europe/Berlin",
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
        assert!(tags(&["a,b"]).is_err());
        assert!(tags(&[""]).is_err());
    }
}
