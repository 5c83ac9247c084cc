//! Which dead letters and lanes an operator's lists show.

use crate::page::{self, Position};
use crate::query::Query;
use crate::timestamp::Timestamp;
use crate::violation::Violation;

/// The parameters of the list of dead letters.
pub const LETTER_PARAMETERS: [&str; 3] = ["status", "limit", "cursor"];

/// The parameters of the list of lanes.
pub const LANE_PARAMETERS: [&str; 2] = ["state", "limit"];

/// Which dead letters to list.
#[derive(Debug, Clone, PartialEq)]
pub struct LetterQuery {
    /// The open ones, the oldest first; else those that were dealt with, the latest first.
    pub is_open: bool,
    /// How many at most: 1 to 200.
    pub limit: u16,
    /// Only those after this position.
    pub after: Option<Position>,
}

impl LetterQuery {
    /// Reads the parameters of the list.
    ///
    /// # Errors
    ///
    /// Every violation found, by parameter.
    pub fn parse(query: &str) -> Result<Self, Vec<Violation>> {
        let query = Query::parse(query, &LETTER_PARAMETERS)?;
        let mut violations = Vec::new();
        let is_open = is_first(&query, "status", ["open", "resolved"], &mut violations);
        let limit = limit(&query, &mut violations);
        let is_instant = |key: Option<&str>| key.is_some_and(|key| Timestamp::parse(key).is_ok());
        let after = page::after(&query, order(is_open), is_instant).unwrap_or_else(|violation| {
            violations.push(violation);
            None
        });
        if violations.is_empty() {
            Ok(Self {
                is_open,
                limit,
                after,
            })
        } else {
            Err(violations)
        }
    }

    /// The cursor of the page that begins after `position`.
    pub fn cursor_after(&self, position: Position) -> String {
        page::cursor(order(self.is_open), position)
    }
}

/// The name of an order in cursors.
fn order(is_open: bool) -> &'static str {
    if is_open {
        "open_letters"
    } else {
        "resolved_letters"
    }
}

/// Which lanes to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneQuery {
    /// Those that rest, the longest first; else those that wait for a publisher, the longest first.
    pub is_resting: bool,
    /// How many at most: 1 to 200.
    pub limit: u16,
}

impl LaneQuery {
    /// Reads the parameters of the list.
    ///
    /// # Errors
    ///
    /// Every violation found, by parameter.
    pub fn parse(query: &str) -> Result<Self, Vec<Violation>> {
        let query = Query::parse(query, &LANE_PARAMETERS)?;
        let mut violations = Vec::new();
        let is_resting = is_first(&query, "state", ["resting", "waiting"], &mut violations);
        let limit = limit(&query, &mut violations);
        if violations.is_empty() {
            Ok(Self { is_resting, limit })
        } else {
            Err(violations)
        }
    }
}

/// Whether a parameter has the first of two values, which it has where it is left out.
fn is_first(
    query: &Query,
    name: &str,
    [first, second]: [&str; 2],
    violations: &mut Vec<Violation>,
) -> bool {
    match query.get(name) {
        None => true,
        Some(value) if value == first => true,
        Some(value) if value == second => false,
        Some(_) => {
            violations.push(Violation::parameter(
                name,
                format!("must be {first} or {second}"),
            ));
            true
        }
    }
}

fn limit(query: &Query, violations: &mut Vec<Violation>) -> u16 {
    page::limit(query).unwrap_or_else(|violation| {
        violations.push(violation);
        page::DEFAULT_LIMIT
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn parameters_are_read() {
        let query = LetterQuery::parse("status=resolved&limit=7").unwrap();
        assert_eq!((query.is_open, query.limit, query.after), (false, 7, None));
        assert!(LetterQuery::parse("").unwrap().is_open);
        let query = LaneQuery::parse("state=waiting&limit=200").unwrap();
        assert_eq!((query.is_resting, query.limit), (false, 200));
        assert!(LaneQuery::parse("").unwrap().is_resting);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for query in ["status=closed", "limit=0", "limit=201", "cursor=x", "q=x"] {
            assert_eq!(LetterQuery::parse(query).unwrap_err().len(), 1, "{query}");
        }
        for query in ["state=blocked", "limit=-1", "cursor=x"] {
            assert_eq!(LaneQuery::parse(query).unwrap_err().len(), 1, "{query}");
        }
    }

    #[test]
    fn a_cursor_is_of_one_order() {
        let open = LetterQuery::parse("").unwrap();
        let position = Position {
            key: Some("2030-01-01T00:00:00.000001Z".to_owned()),
            id: Uuid::nil(),
        };
        let cursor = open.cursor_after(position.clone());
        let next = LetterQuery::parse(&format!("cursor={cursor}")).unwrap();
        assert_eq!(next.after, Some(position));
        assert!(LetterQuery::parse(&format!("status=resolved&cursor={cursor}")).is_err());
    }
}
