//! What the service says of itself: `GET /openapi.json` describes the API, `GET /asyncapi.json` the events, and
//! `GET /schemas/<dataschema>` the data of an event.
//!
//! All of it needs no token: it is the same for everybody, holds nothing that the repository does not show, and who only
//! reads topics has no token of a user.

#[cfg(test)]
mod document;

use domain::event::EventType;
use platform::http::Response;
use platform::problem::Problem;

use crate::Answer;

/// OpenAPI 3.1, as made by `document`.
const OPENAPI: &str = include_str!("../openapi.json");

/// AsyncAPI 3.0, as made by `document`.
const ASYNCAPI: &str = include_str!("../asyncapi.json");

/// For how long a schema may be kept by whoever asked for it. Not for ever: fields are added.
pub(crate) const SCHEMA_CACHING: &str = "public, max-age=3600";

/// Answers with the API's description.
pub(crate) fn answer() -> Answer {
    Response::json(200, OPENAPI).into()
}

/// Answers with the events' description.
pub(crate) fn events() -> Answer {
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

/// A JSON Schema (2020-12), as made by `document`.
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
