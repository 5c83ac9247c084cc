//! Which tasks a list shows, in what order, and where its next page begins.

use crate::page::{self, Position};
use crate::query::Query;
use crate::task::Priority;
use crate::timestamp::Timestamp;
use crate::violation::Violation;

/// The parameters of `GET /api/{user_id}/tasks`.
pub const PARAMETERS: [&str; 9] = [
    "status",
    "priority",
    "tags",
    "due_before",
    "due_after",
    "q",
    "sort_by",
    "limit",
    "cursor",
];

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// To be done.
    Pending,
    /// Done.
    Completed,
    /// Ended without being done, in favour of the next of its series.
    Skipped,
}

/// The values of the parameter `status`, and which tasks each shows.
pub const STATUSES: [(&str, Option<Status>); 4] = [
    ("all", None),
    ("pending", Some(Status::Pending)),
    ("completed", Some(Status::Completed)),
    ("skipped", Some(Status::Skipped)),
];

/// How many tags a list can be asked for.
pub const MOST_TAGS: usize = 10;

/// How many characters the text searched for may have.
pub const LONGEST_TEXT: usize = 200;

/// The default of `sort_by`.
pub const DEFAULT_SORT: &str = SORTS[0].0;

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// When the task was created.
    CreatedAt,
    /// When it is due; tasks without a due date come last in either direction.
    DueDate,
    /// How urgent it is.
    Priority,
}

/// A total order of a user's tasks; ties are broken by id in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The key compared first.
    pub key: SortKey,
    /// Whether large keys come first.
    pub descending: bool,
}

/// Every sort by name. A name without a direction takes the one people expect: newest, soonest, most urgent first.
pub const SORTS: [(&str, Sort); 9] = [
    ("created_at", Sort::new(SortKey::CreatedAt, true)),
    ("created_at_asc", Sort::new(SortKey::CreatedAt, false)),
    ("created_at_desc", Sort::new(SortKey::CreatedAt, true)),
    ("due_date", Sort::new(SortKey::DueDate, false)),
    ("due_date_asc", Sort::new(SortKey::DueDate, false)),
    ("due_date_desc", Sort::new(SortKey::DueDate, true)),
    ("priority", Sort::new(SortKey::Priority, true)),
    ("priority_asc", Sort::new(SortKey::Priority, false)),
    ("priority_desc", Sort::new(SortKey::Priority, true)),
];

impl Sort {
    const fn new(key: SortKey, descending: bool) -> Self {
        Self { key, descending }
    }

    /// The sort's name with its direction, such as `due_date_asc`.
    fn name(self) -> &'static str {
        let found = SORTS.iter().rev().find(|(_, sort)| *sort == self);
        found.map_or("created_at_desc", |(name, _)| name)
    }
}

/// Which of a user's tasks to list.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskQuery {
    /// Only those that stand there.
    pub status: Option<Status>,
    /// Only those of this priority.
    pub priority: Option<Priority>,
    /// Only those with at least one of these tags.
    pub tags: Option<Vec<String>>,
    /// Only those due before this instant.
    pub due_before: Option<Timestamp>,
    /// Only those due after this instant.
    pub due_after: Option<Timestamp>,
    /// Only those whose title or description contains this text, whatever its case.
    pub text: Option<String>,
    /// In which order.
    pub sort: Sort,
    /// How many at most: 1 to 200.
    pub limit: u16,
    /// Only those after this position in the order.
    pub after: Option<Position>,
}

impl TaskQuery {
    /// Reads the parameters of a list.
    ///
    /// # Errors
    ///
    /// Every violation found, by parameter.
    pub fn parse(query: &str) -> Result<Self, Vec<Violation>> {
        let query = Query::parse(query, &PARAMETERS)?;
        let mut violations = Vec::new();
        let mut invalid =
            |name: &str, detail: &str| violations.push(Violation::parameter(name, detail));

        let status = query.get("status").and_then(|name| {
            let found = STATUSES.iter().find(|(known, _)| *known == name);
            if found.is_none() {
                invalid("status", "must be all, pending, completed or skipped");
            }
            found.and_then(|(_, status)| *status)
        });
        let priority = query.get("priority").and_then(|name| {
            let priority = Priority::from_name(name);
            if priority.is_none() {
                invalid("priority", "must be low, medium or high");
            }
            priority
        });
        let tags = query.get("tags").map(|csv| {
            // One more than the limit is enough to see that there are too many.
            let tags = csv.split(',').take(MOST_TAGS + 1);
            let tags: Vec<String> = tags.map(|tag| tag.trim().to_owned()).collect();
            if tags.len() > MOST_TAGS || tags.iter().any(String::is_empty) {
                let rule = format!("must be 1 to {MOST_TAGS} tags, separated by commas");
                invalid("tags", &rule);
            }
            tags
        });
        let mut instant = |name: &str| {
            let parsed = query.get(name).map(Timestamp::parse)?;
            parsed
                .map_err(|error| invalid(name, &error.to_string()))
                .ok()
        };
        let due_before = instant("due_before");
        let due_after = instant("due_after");
        let text = query.get("q").map(str::to_owned);
        if text
            .as_ref()
            .is_some_and(|text| text.is_empty() || text.chars().count() > LONGEST_TEXT)
        {
            invalid("q", &format!("must have 1 to {LONGEST_TEXT} characters"));
        }
        let name = query.get("sort_by").unwrap_or(DEFAULT_SORT);
        let sort = SORTS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, sort)| *sort);
        if sort.is_none() {
            invalid(
                "sort_by",
                "must be created_at, due_date or priority, with _asc or _desc behind it or without",
            );
        }
        let sort = sort.unwrap_or(Sort::new(SortKey::CreatedAt, true));
        let limit = page::limit(&query).unwrap_or_else(|violation| {
            violations.push(violation);
            page::DEFAULT_LIMIT
        });
        let key_fits = |key: Option<&str>| key_fits(sort, key);
        let after = page::after(&query, sort.name(), key_fits).unwrap_or_else(|violation| {
            violations.push(violation);
            None
        });
        if violations.is_empty() {
            Ok(Self {
                status,
                priority,
                tags,
                due_before,
                due_after,
                text,
                sort,
                limit,
                after,
            })
        } else {
            Err(violations)
        }
    }

    /// The cursor of the page that begins after `position`.
    pub fn cursor_after(&self, position: Position) -> String {
        page::cursor(self.sort.name(), position)
    }
}

/// Whether a cursor's key is one of `sort`: an RFC 3339 instant, none for a task without a due date, or a priority.
fn key_fits(sort: Sort, key: Option<&str>) -> bool {
    match (sort.key, key) {
        (SortKey::CreatedAt | SortKey::DueDate, Some(key)) => Timestamp::parse(key).is_ok(),
        (SortKey::Priority, Some(key)) => Priority::from_name(key).is_some(),
        (SortKey::DueDate, None) => true,
        (SortKey::CreatedAt | SortKey::Priority, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn without_parameters_the_newest_fifty_are_listed() {
        let query = TaskQuery::parse("").unwrap();
        assert_eq!(query.sort, Sort::new(SortKey::CreatedAt, true));
        assert_eq!((query.limit, query.status, query.after), (50, None, None));
    }

    #[test]
    fn every_filter_is_read() {
        let query = TaskQuery::parse(
            "status=pending&priority=high&tags=home,%20garden&due_before=2026-01-31T09:00:00%2B01:00\
             &due_after=2026-01-01T00:00:00Z&q=50%25&sort_by=due_date_desc&limit=200",
        )
        .unwrap();
        assert_eq!(query.status, Some(Status::Pending));
        assert_eq!(query.priority, Some(Priority::High));
        assert_eq!(query.tags.unwrap(), ["home", "garden"]);
        assert_eq!(
            query.due_before.unwrap().to_string(),
            "2026-01-31T08:00:00.000000Z"
        );
        assert_eq!(query.text.unwrap(), "50%");
        assert_eq!(query.sort, Sort::new(SortKey::DueDate, true));
        assert_eq!(query.limit, 200);
    }

    #[test]
    fn each_bad_parameter_is_named() {
        let bad = "status=open&priority=1&tags=,&due_before=x&due_after=2026-01-01&q=&sort_by=title&limit=0&cursor=x";
        assert_eq!(TaskQuery::parse(bad).unwrap_err().len(), 9);
        for limit in ["201", "-1", "1.5", "", "99999999999"] {
            assert!(
                TaskQuery::parse(&format!("limit={limit}")).is_err(),
                "{limit}"
            );
        }
    }

    #[test]
    fn a_cursor_belongs_to_its_sort() {
        let by_priority = TaskQuery::parse("sort_by=priority").unwrap();
        let cursor = by_priority.cursor_after(Position {
            key: Some("high".to_owned()),
            id: Uuid::nil(),
        });
        assert!(TaskQuery::parse(&format!("sort_by=priority_desc&cursor={cursor}")).is_ok());
        assert!(TaskQuery::parse(&format!("sort_by=priority_asc&cursor={cursor}")).is_err());
        assert!(TaskQuery::parse(&format!("cursor={cursor}")).is_err());
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back(sort in 0..SORTS.len(), micros in 0i64..253_370_764_800_000_000, id: u128) {
            let (name, sort) = SORTS[sort];
            let key = match sort.key {
                SortKey::Priority => "low".to_owned(),
                SortKey::CreatedAt | SortKey::DueDate => Timestamp::from_unix_micros(micros).unwrap().to_string(),
            };
            let position = Position { key: Some(key), id: Uuid::from_u128(id) };
            let query = TaskQuery::parse(&format!("sort_by={name}")).unwrap();
            let cursor = query.cursor_after(position.clone());
            let next = TaskQuery::parse(&format!("sort_by={name}&cursor={cursor}")).unwrap();
            prop_assert_eq!(next.after, Some(position));
        }

        #[test]
        fn no_query_panics(query in ".{0,200}", cursor in "[A-Za-z0-9_-]{0,80}") {
            let _ = TaskQuery::parse(&query);
            let _ = TaskQuery::parse(&format!("cursor={cursor}"));
        }
    }
}
