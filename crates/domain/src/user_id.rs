//! The owner of tasks.

use std::fmt;

use serde::Deserialize;

/// A user's id: 1 to 128 of `[A-Za-z0-9._@|-]`, and not `events`, which the routes of the sidecar use in its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct UserId(String);

/// A string that is not a user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUserId;

impl fmt::Display for InvalidUserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a user id is 1 to 128 of A-Z a-z 0-9 . _ @ | - and not `events`")
    }
}

impl std::error::Error for InvalidUserId {}

impl UserId {
    /// How many characters it may have.
    pub const LONGEST: usize = 128;
    /// The characters that it may have beside ASCII letters and digits.
    pub const SYMBOLS: &str = "._@|-";
    /// What stands in its place in the routes of the sidecar.
    pub const RESERVED: &str = "events";

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidUserId;

    fn try_from(id: String) -> Result<Self, InvalidUserId> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || Self::SYMBOLS.as_bytes().contains(&byte);
        if (1..=Self::LONGEST).contains(&id.len())
            && id.bytes().all(allowed)
            && id != Self::RESERVED
        {
            Ok(Self(id))
        } else {
            Err(InvalidUserId)
        }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(id: &str) -> Result<UserId, InvalidUserId> {
        UserId::try_from(id.to_owned())
    }

    #[test]
    fn identifiers_of_common_providers_are_accepted() {
        for id in [
            "alice",
            "auth0|5f7c8ec7",
            "a@b.example",
            "A-1_.",
            &"x".repeat(128),
        ] {
            assert!(parse(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for id in [
            "",
            "events",
            "a b",
            "a/b",
            "é",
            "a\0",
            "%41",
            &"x".repeat(129),
        ] {
            assert_eq!(parse(id), Err(InvalidUserId), "{id:?}");
        }
    }
}
