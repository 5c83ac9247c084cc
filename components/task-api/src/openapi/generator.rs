//! The API's description (OpenAPI 3.1), generated from what the service itself uses: its table of routes, the limits,
//! names and defaults of `domain`, and the problems that it answers with.
//!
//! Libraries that model OpenAPI in Rust cannot say everything, for instance that a header is always there. So this
//! writes JSON, and the end-to-end tests check it against the official schema and against every answer.

mod operations;
mod parameters;
mod problems;
pub(crate) mod schemas;

use std::fmt::Debug;

use platform::http::method_name;
use serde_json::{Map, Value, json};

use crate::committed::require_committed;
use crate::route::{Route, SERVICE_ROUTES, USER_ROUTES};

/// The description of an operation.
struct Described {
    summary: &'static str,
    /// More than the summary says.
    details: Option<&'static str>,
    /// The parameters besides those of the path.
    parameters: Vec<Value>,
    body: Option<Value>,
    /// The status and the answer of success.
    success: (u16, Value),
    /// The status and the answer if nothing has changed for the client.
    unchanged: Option<(u16, Value)>,
    /// The problems that may answer it, besides those of all operations of its kind.
    problems: &'static [&'static str],
}

fn document() -> Value {
    let users = USER_ROUTES
        .iter()
        .filter_map(|route| path(route, |operation| Some(operations::of_user(operation))));
    let services = SERVICE_ROUTES
        .iter()
        .filter_map(|route| path(route, operations::of_service));
    let paths: Map<String, Value> = users.chain(services).collect();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "todo-events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A Todo service whose tasks drive automation through events.\n\n\
                Any other path is answered 404, any other method of a path 405 with `Allow`; errors are problem \
                details (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "HS256, with `exp`, and `sub` (or else `user_id`) as the user; or RS256 or ES256 of the \
                        issuer that the service trusts, with `iss` and `aud` too.",
                },
            },
            "schemas": schemas::all(),
            "responses": problems::responses(),
        },
    })
}

/// A path and its operations; `None` if only the sidecar uses them.
fn path<O: Copy + Debug>(
    route: &Route<O>,
    said_of: impl Fn(O) -> Option<Described>,
) -> Option<(String, Value)> {
    let mut path = Map::new();
    let variables: Vec<Value> = route.variables().map(parameters::path_parameter).collect();
    if !variables.is_empty() {
        path.insert("parameters".to_owned(), json!(variables));
    }
    let mut is_public = false;
    for (method, operation) in route.operations {
        if let Some(described) = said_of(*operation) {
            is_public = true;
            path.insert(
                method_name(method).to_lowercase(),
                describe(route, operation_id(*operation), described),
            );
        }
    }
    is_public.then(|| (route.template.to_owned(), Value::Object(path)))
}

/// An operation's name in the document.
fn operation_id(operation: impl Debug) -> String {
    let name = format!("{operation:?}");
    let (first, rest) = name.split_at(1);
    first.to_lowercase() + rest
}

fn describe<O>(route: &Route<O>, id: String, described: Described) -> Value {
    let is_users = route.variables().any(|variable| variable == "user_id");
    let is_of_one_thing = route.variables().any(|variable| variable != "user_id");
    let mut problems = described.problems.to_vec();
    if is_users {
        problems.extend(["BadRequest", "Unauthenticated", "Forbidden"]);
        if !problems.iter().any(|name| problems::status(name) == 503) {
            problems.push("Unavailable");
        }
    }
    if is_of_one_thing {
        problems.push("NotFound");
    }
    if described.body.is_some() {
        problems.push("RequestTimeout");
        problems.push("ContentTooLarge");
    }
    let mut members = Map::new();
    let mut say = |what: &str, value: Value| members.insert(what.to_owned(), value);
    say("summary", json!(described.summary));
    if let Some(details) = described.details {
        say("description", json!(details));
    }
    say("operationId", json!(id));
    if !is_users {
        say("security", json!([]));
    }
    if !described.parameters.is_empty() {
        say("parameters", json!(described.parameters));
    }
    if let Some(body) = described.body {
        say("requestBody", body);
    }
    let answers = [Some(described.success), described.unchanged];
    say(
        "responses",
        Value::Object(responses(&id, answers.into_iter().flatten(), &problems)),
    );
    Value::Object(members)
}

/// The answers of an operation by status.
fn responses(
    id: &str,
    answers: impl Iterator<Item = (u16, Value)>,
    problems: &[&str],
) -> Map<String, Value> {
    let mut responses: Vec<_> = answers.collect();
    responses.extend(problems.iter().map(|problem| {
        let reference = json!({"$ref": format!("#/components/responses/{problem}")});
        (problems::status(problem), reference)
    }));
    responses.sort_by_key(|(status, _)| *status);
    let count = responses.len();
    let by_status: Map<String, Value> = responses
        .into_iter()
        .map(|(status, answer)| (status.to_string(), answer))
        .collect();
    assert_eq!(by_status.len(), count, "two answers of one status: {id}");
    by_status
}

#[test]
fn openapi_json_is_what_the_code_says() {
    require_committed("openapi.json", &document());
}
