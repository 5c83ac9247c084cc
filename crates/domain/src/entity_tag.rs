//! Entity tags of tasks and the precondition `If-Match` (RFC 9110 sections 8.8.3 and 13.1.1).

/// The strong entity tag of a task at `version`.
pub fn entity_tag(version: i64) -> String {
    format!("\"{version}\"")
}

/// How many of a list's tags are looked at.
const MOST_TAGS: usize = 100;

/// What a request requires of the task's current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Any version will do.
    Any,
    /// One of these versions. Tags that no task ever had are left out, so an empty list matches no task.
    OneOf(Vec<i64>),
}

impl Precondition {
    /// Reads the value of `If-Match`: `*`, or a list of entity tags, of which the first 100 count. Weak tags never match (strong comparison).
    pub fn parse(value: &str) -> Self {
        if value.trim() == "*" {
            return Self::Any;
        }
        let version = |tag: &str| {
            let opaque = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
            let version = opaque.parse().ok()?;
            (entity_tag(version) == tag.trim()).then_some(version)
        };
        Self::OneOf(
            value
                .split(',')
                .take(MOST_TAGS)
                .filter_map(version)
                .collect(),
        )
    }
}

/// The tags in the value of `If-None-Match`, without their quotes, of which the first 100 count; weak ones too (weak
/// comparison, RFC 9110 section 13.1.2). `*` is returned as it is.
pub fn listed_tags(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').take(MOST_TAGS).filter_map(opaque_tag)
}

fn opaque_tag(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    if tag == "*" {
        return Some(tag);
    }
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_tags_are_returned_without_quotes() {
        let listed = |value| listed_tags(value).collect::<Vec<_>>();
        assert_eq!(listed(" * "), ["*"]);
        assert_eq!(listed("\"a\", W/\"b-1\",\"\""), ["a", "b-1", ""]);
        assert_eq!(listed("a, \"b, w/\"c\", \""), Vec::<&str>::new());
        assert_eq!(listed(&"\"1\",".repeat(10_000)).len(), MOST_TAGS);
    }

    #[test]
    fn a_long_list_of_tags_is_cut() {
        let Precondition::OneOf(versions) = Precondition::parse(&"\"1\",".repeat(10_000)) else {
            panic!("not a list");
        };
        assert_eq!(versions.len(), MOST_TAGS);
    }

    #[test]
    fn strong_tags_match_and_nothing_else() {
        assert_eq!(Precondition::parse(" * "), Precondition::Any);
        assert_eq!(Precondition::parse("\"3\""), Precondition::OneOf(vec![3]));
        assert_eq!(
            Precondition::parse("\"3\", \"x\",\"4\""),
            Precondition::OneOf(vec![3, 4])
        );
        for never in ["", "3", "W/\"3\"", "\"03\"", "\"+3\"", "\"3", "\"\""] {
            assert_eq!(
                Precondition::parse(never),
                Precondition::OneOf(vec![]),
                "{never}"
            );
        }
    }
}
