//! Which notifications a list shows and where its next page begins.

use crate::page::{self, Position};
use crate::query::Query;
use crate::timestamp::Timestamp;
use crate::violation::Violation;

/// The parameters of `GET /api/{user_id}/notifications`.
pub const PARAMETERS: [&str; 3] = ["unread", "limit", "cursor"];

/// The number at which counting unread notifications stops: it means this many or more.
pub const MOST_UNREAD: i64 = 1000;

/// The order's name in cursors.
const ORDER: &str = "notifications";

/// Which of a user's notifications to list, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct NotificationQuery {
    /// Only those not yet read.
    pub unread: bool,
    /// How many at most: 1 to 200.
    pub limit: u16,
    /// Only those after this position.
    pub after: Option<Position>,
}

impl NotificationQuery {
    /// Reads the parameters of a list.
    ///
    /// # Errors
    ///
    /// Every violation found, by parameter.
    pub fn parse(query: &str) -> Result<Self, Vec<Violation>> {
        let query = Query::parse(query, &PARAMETERS)?;
        let mut violations = Vec::new();
        let unread = match query.get("unread") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                violations.push(Violation::parameter("unread", "must be true or false"));
                false
            }
        };
        let limit = page::limit(&query).unwrap_or_else(|violation| {
            violations.push(violation);
            page::DEFAULT_LIMIT
        });
        let is_instant = |key: Option<&str>| key.is_some_and(|key| Timestamp::parse(key).is_ok());
        let after = page::after(&query, ORDER, is_instant).unwrap_or_else(|violation| {
            violations.push(violation);
            None
        });
        if violations.is_empty() {
            Ok(Self {
                unread,
                limit,
                after,
            })
        } else {
            Err(violations)
        }
    }

    /// The cursor of the page that begins after `position`.
    pub fn cursor_after(&self, position: Position) -> String {
        page::cursor(ORDER, position)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn parameters_are_read() {
        let query = NotificationQuery::parse("unread=true&limit=7").unwrap();
        assert_eq!(
            query,
            NotificationQuery {
                unread: true,
                limit: 7,
                after: None
            }
        );
        let position = Position {
            key: Some("2026-01-31T08:00:00.000000Z".to_owned()),
            id: Uuid::nil(),
        };
        let cursor = query.cursor_after(position.clone());
        let next = NotificationQuery::parse(&format!("cursor={cursor}")).unwrap();
        assert_eq!(
            next,
            NotificationQuery {
                unread: false,
                limit: 50,
                after: Some(position)
            }
        );
    }

    #[test]
    fn each_bad_parameter_is_named() {
        assert_eq!(
            NotificationQuery::parse("unread=yes&limit=0&cursor=x")
                .unwrap_err()
                .len(),
            3
        );
        let of_tasks = page::cursor(
            "created_at_desc",
            Position {
                key: None,
                id: Uuid::nil(),
            },
        );
        assert!(NotificationQuery::parse(&format!("cursor={of_tasks}")).is_err());
    }
}
