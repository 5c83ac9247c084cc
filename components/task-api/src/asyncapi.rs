//! `GET /asyncapi.json`: the description of the events; and `GET /schemas/<dataschema>`: the schema of an event's data. They
//! need no token: a program that only reads topics has none of a user.

#[cfg(test)]
mod generator;

use domain::event::EventType;
use platform::http::Response;
use platform::problem::Problem;

use crate::Answer;

/// AsyncAPI 3.0, as made by `generator`.
const ASYNCAPI: &str = include_str!("../asyncapi.json");

/// How long a client may keep a schema. Not for ever: fields are added.
pub(crate) const SCHEMA_CACHING: &str = "public, max-age=3600";

/// Answers with the description.
pub(crate) fn answer() -> Answer {
    Response::json(200, ASYNCAPI).into()
}

/// Answers with the schema that an event's attribute `dataschema` names.
pub(crate) fn data_schema(name: Option<&str>) -> Result<Answer, Problem> {
    let event_type = EventType::ALL
        .into_iter()
        .find(|event_type| name == Some(&event_type.data_schema()))
        .ok_or_else(|| Problem::not_found("No event has such data."))?;
    let response = Response::new(200)
        .with_header("content-type", "application/schema+json")
        .with_header("cache-control", SCHEMA_CACHING)
        .with_body(schema(event_type));
    Ok(response.into())
}

/// A JSON Schema (2020-12), as made by `generator`.
fn schema(event_type: EventType) -> &'static str {
    match event_type {
        EventType::TaskCreated => include_str!("../schemas/task.created.1.json"),
        EventType::TaskUpdated => include_str!("../schemas/task.updated.1.json"),
        EventType::TaskCompleted => include_str!("../schemas/task.completed.1.json"),
        EventType::TaskSkipped => include_str!("../schemas/task.skipped.1.json"),
        EventType::TaskDeleted => include_str!("../schemas/task.deleted.1.json"),
        EventType::ReminderScheduled => include_str!("../schemas/reminder.scheduled.1.json"),
        EventType::ReminderCancelled => include_str!("../schemas/reminder.cancelled.1.json"),
        EventType::ReminderTriggered => include_str!("../schemas/reminder.triggered.1.json"),
    }
}
