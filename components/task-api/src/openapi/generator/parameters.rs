//! The descriptions of the operations' parameters.

use domain::calendar_secret::CalendarSecret;
use domain::event::EventType;
use domain::idempotency_key::IdempotencyKey;
use domain::{change_feed, date_range, page, task_list};
use serde_json::{Value, json};

use super::schemas::{TAG, bounded_string, date, instant, priority, user_id, uuid};

/// A variable of a path.
pub(super) fn path_parameter(name: &str) -> Value {
    let (meaning, schema) = match name {
        "user_id" => ("The user; must be the token's.", user_id()),
        "task_id" => ("The task.", uuid()),
        "id" => ("The notification.", uuid()),
        "secret" => (
            "What only the user's calendar programs know.",
            json!({
                "type": "string",
                "pattern": format!("^[A-Za-z0-9_-]{{{}}}$", CalendarSecret::CHARACTERS),
            }),
        ),
        "dataschema" => (
            "The event's attribute `dataschema`, as it is.",
            json!({"type": "string", "enum": EventType::ALL.map(EventType::data_schema)}),
        ),
        name => panic!("the variable {name} has no description"),
    };
    json!({"name": name, "in": "path", "description": meaning, "required": true, "schema": schema})
}

fn query_parameter(name: &str, meaning: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "description": meaning, "schema": schema})
}

pub(super) fn task_list_parameter(name: &str) -> Value {
    let names: Vec<&str> = match name {
        "status" => task_list::STATUSES.iter().map(|(name, _)| *name).collect(),
        "sort_by" => task_list::SORTS.iter().map(|(name, _)| *name).collect(),
        _ => Vec::new(),
    };
    let (meaning, schema) = match name {
        "status" => (
            "Which tasks.",
            json!({"type": "string", "enum": names, "default": names[0]}),
        ),
        "priority" => ("Only of this priority.", priority()),
        "tags" => (
            "Only with at least one of these tags, separated by commas.",
            tag_list(),
        ),
        "due_before" => ("Only due before this instant.", instant()),
        "due_after" => ("Only due after this instant.", instant()),
        "q" => (
            "Only with this text in title or description, whatever its case.",
            bounded_string(1, task_list::LONGEST_TEXT),
        ),
        "sort_by" => (
            "The order; without a direction newest, soonest or most urgent first. Tasks without a due date come last.",
            json!({"type": "string", "enum": names, "default": task_list::DEFAULT_SORT}),
        ),
        name => return page_parameter(name),
    };
    query_parameter(name, meaning, schema)
}

pub(super) fn notification_list_parameter(name: &str) -> Value {
    match name {
        "unread" => query_parameter(
            name,
            "Only those not yet read.",
            json!({"type": "boolean", "default": false}),
        ),
        name => page_parameter(name),
    }
}

fn page_parameter(name: &str) -> Value {
    let (meaning, schema) = match name {
        "limit" => (
            "Rows on a page.",
            json!({
                "type": "integer", "minimum": 1, "maximum": page::LARGEST_LIMIT, "default": page::DEFAULT_LIMIT,
            }),
        ),
        "cursor" => (
            "Where the page begins; from the `Link` of a list in the same order.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
        ),
        name => panic!("the parameter {name} has no description"),
    };
    query_parameter(name, meaning, schema)
}

pub(super) fn change_feed_parameter(name: &str) -> Value {
    match name {
        "after" => query_parameter(
            name,
            "Only changes after this number; without it, from the oldest that is kept.",
            json!({"type": "string", "pattern": format!("^([0-9]{{1,{}}}|{})$", change_feed::MOST_DIGITS, change_feed::LATEST)}),
        ),
        name => page_parameter(name),
    }
}

pub(super) fn last_event_id() -> Value {
    json!({
        "name": change_feed::LAST_EVENT_ID,
        "in": "header",
        "description": "The number of the last event received; goes before `after`.",
        "schema": {"type": "string", "pattern": format!("^[0-9]{{1,{}}}$", change_feed::MOST_DIGITS)},
    })
}

pub(super) fn date_range_parameter(name: &str) -> Value {
    let meaning = match name {
        "from" => format!(
            "The first day; by default {} days before `to`, at most {}.",
            date_range::DEFAULT_DAYS - 1,
            date_range::MOST_DAYS - 1
        ),
        "to" => "The last day; by default today.".to_owned(),
        name => panic!("the parameter {name} has no description"),
    };
    query_parameter(name, &meaning, date())
}

/// Tags with commas between them.
fn tag_list() -> Value {
    json!({
        "type": "string",
        "pattern": format!("^{TAG}(,{TAG}){{0,{}}}$", task_list::MOST_TAGS - 1),
        "examples": ["home,garden"],
    })
}

pub(super) fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "For 24 hours, the same key with the same body gives the first answer; with another body 422.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": IdempotencyKey::LONGEST,
            "pattern": "^[!-~]+$",
        },
    })
}

pub(super) fn if_match() -> Value {
    json!({
        "name": "If-Match",
        "in": "header",
        "description": "Only if the task is at one of these versions: `*` or entity tags, separated by commas.",
        "schema": {"type": "string", "examples": ["*", "\"1\""]},
    })
}

pub(super) fn if_none_match() -> Value {
    json!({
        "name": "If-None-Match",
        "in": "header",
        "description": "Only if it is none of these: `*` or entity tags, separated by commas.",
        "schema": {"type": "string", "examples": ["*", "\"1-e3b0c442\""]},
    })
}
