//! The statement that lists tasks.

use domain::task_list::{SortKey, Status, TaskQuery};
use domain::user_id::UserId;
use spin_sdk::pg4::ParameterValue;

use crate::parameter::param;

/// Lists tasks: the statement and its parameters. Only fixed text and parameter numbers go into the statement.
pub fn statement(user: &UserId, query: &TaskQuery) -> (String, Vec<ParameterValue>) {
    // The expressions are those of the indexes; a task without a due date sorts last in either direction.
    let (key, key_text, key_type) = match (query.sort.key, query.sort.descending) {
        (SortKey::CreatedAt, _) => ("created_at", "rfc3339((task).created_at)", "timestamptz"),
        (SortKey::DueDate, false) => (
            "coalesce(due_date, 'infinity')",
            "rfc3339((task).due_date)",
            "timestamptz",
        ),
        (SortKey::DueDate, true) => (
            "coalesce(due_date, '-infinity')",
            "rfc3339((task).due_date)",
            "timestamptz",
        ),
        (SortKey::Priority, _) => ("priority", "(task).priority", "priority"),
    };
    let (direction, beyond) = if query.sort.descending {
        ("DESC", "<")
    } else {
        ("ASC", ">")
    };
    let mut parameters = vec![param(user.as_str()), param(i64::from(query.limit))];
    let status = match query.status {
        None => "",
        Some(Status::Pending) => " AND NOT completed AND skipped_at IS NULL",
        Some(Status::Completed) => " AND completed",
        Some(Status::Skipped) => " AND skipped_at IS NOT NULL",
    };
    let mut conditions = status.to_owned();
    let mut condition = |condition: &str, parameter: ParameterValue| {
        parameters.push(parameter);
        conditions.push_str(" AND ");
        conditions.push_str(&condition.replace("$n", &format!("${}", parameters.len())));
    };
    if let Some(priority) = query.priority {
        condition("priority = $n::text::priority", param(priority.as_str()));
    }
    if let Some(tags) = &query.tags {
        condition("tags && $n::text[]", param(tags.clone()));
    }
    if let Some(instant) = query.due_before {
        condition(
            "due_date < $n::text::timestamptz",
            param(instant.to_string()),
        );
    }
    if let Some(instant) = query.due_after {
        condition(
            "due_date > $n::text::timestamptz",
            param(instant.to_string()),
        );
    }
    if let Some(words) = &query.text {
        let pattern = words
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        condition(
            "(title ILIKE $n OR description ILIKE $n)",
            param(format!("%{pattern}%")),
        );
    }
    if let Some(after) = &query.after {
        parameters.push(param(after.key.clone()));
        let key_parameter = key.replace(
            "due_date",
            &format!("${}::text::{key_type}", parameters.len()),
        );
        let key_parameter = match query.sort.key {
            SortKey::DueDate => key_parameter,
            SortKey::CreatedAt | SortKey::Priority => {
                format!("${}::text::{key_type}", parameters.len())
            }
        };
        parameters.push(param(after.id));
        conditions.push_str(&format!(
            " AND ({key}, id) {beyond} ({key_parameter}, ${}::text::uuid)",
            parameters.len()
        ));
    }
    let statement = format!(
        r#"SELECT '{{"tasks":['
            || coalesce(string_agg(task_text(task), ',' ORDER BY place) FILTER (WHERE place <= $2::bigint), '')
            || '],"last":'
            || CASE WHEN count(*) > $2::bigint THEN
                max(json_build_object('k', {key_text}, 'i', (task).id)::text) FILTER (WHERE place = $2::bigint)
            ELSE 'null' END
            || '}}'
        FROM (
            SELECT task, row_number() OVER (ORDER BY {key} {direction}, id {direction}) AS place
            FROM tasks AS task
            WHERE user_id = $1{conditions}
            ORDER BY {key} {direction}, id {direction}
            LIMIT $2::bigint + 1
        ) AS page"#
    );
    (statement, parameters)
}
