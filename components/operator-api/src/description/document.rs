//! The description (OpenAPI 3.1), made of what the component itself uses: its table of routes, limits and problems. The
//! end-to-end tests compare every answer with it.

mod schemas;

use std::path::Path;
use std::{env, fs};

use domain::operator_lists::{LANE_PARAMETERS, LETTER_PARAMETERS};
use domain::page;
use domain::violation::Violation;
use platform::http::{BODY_LIMIT, BODY_TIME, Response, method_name};
use platform::problem::Problem;
use serde_json::{Map, Value, json};
use similar::TextDiff;

use crate::route::{Operation, ROUTES};
use schemas::reference;

/// What is said of an operation.
struct Described {
    summary: &'static str,
    /// What the summary leaves open.
    details: &'static str,
    parameters: Vec<Value>,
    /// The members of the body beside `confirm`.
    body: Option<Value>,
    /// The schema of the answer of success.
    success: Value,
    has_link: bool,
    /// The problems that only some operations have.
    problems: Vec<Problem>,
}

fn described(summary: &'static str, success: Value) -> Described {
    Described {
        summary,
        details: "",
        parameters: Vec::new(),
        body: None,
        success,
        has_link: false,
        problems: Vec::new(),
    }
}

fn said_of(operation: Operation) -> Described {
    let invalid = || Problem::invalid(vec![Violation::parameter("limit", "must be 1 to 200")]);
    let unconfirmed = || {
        Problem::invalid(vec![Violation::field(
            "confirm",
            "must repeat the id in the path",
        )])
    };
    let unknown = || Problem::not_found("There is no such dead letter.");
    match operation {
        Operation::ReadOverview => Described {
            details: "What waits, publishers and breakers, overdue reminders, dead letters, and the last ten minutes. When an \
                event came to the broker is not stored, so `latencies` are from the commit to the claim of a handler.",
            ..described("How the service does", reference("Overview"))
        },
        Operation::ListLanes => Described {
            details: "A lane is what waits for publishing of one user. Those that rest come with the longest rest first, so that \
                blocked ones are before all others; those that wait for a publisher with the longest waiting first.",
            parameters: LANE_PARAMETERS.map(parameter).to_vec(),
            problems: vec![invalid()],
            ..described("List lanes with something unpublished", reference("Lanes"))
        },
        Operation::ReadLane => Described {
            problems: vec![unknown()],
            ..described("Read a lane", reference("Lane"))
        },
        Operation::RetryLane => Described {
            details: "Ends the rest of the lane; the next write or run of the relay publishes.",
            body: Some(json!({})),
            problems: vec![unknown(), unconfirmed()],
            ..described("Retry a lane", reference("Retried"))
        },
        Operation::SkipEvent => Described {
            details: "Goes on without the event of that number, which must be the lane's next one and block it. The event stays \
                stored and becomes an open dead letter.",
            body: Some(json!({"sequence": {
                "type": "integer", "minimum": 1, "description": "The number of the lane's next event.",
            }})),
            problems: vec![unknown(), Problem::cannot_skip_event(""), unconfirmed()],
            ..described("Skip the event that blocks a lane", reference("Skipped"))
        },
        Operation::ListDeadLetters => Described {
            details: "The open ones with the oldest first, those that were dealt with the latest first.",
            parameters: LETTER_PARAMETERS.map(parameter).to_vec(),
            has_link: true,
            problems: vec![invalid()],
            ..described(
                "List dead letters",
                json!({"type": "array", "maxItems": page::LARGEST_LIMIT, "items": reference("DeadLetter")}),
            )
        },
        Operation::ReadDeadLetter => Described {
            problems: vec![unknown()],
            ..described("Read a dead letter", reference("DeadLetter"))
        },
        Operation::ReplayDeadLetter => Described {
            details: "Publishes the record as it was, with its key, to the topic that it came from or to `topic`, and marks the \
                letter as replayed. A letter that was replayed already is not published again.",
            body: Some(json!({"topic": {
                "type": "string",
                "description": "A topic of the service; needed where the letter's own is none.",
            }})),
            problems: vec![
                unknown(),
                Problem::letter_resolved("discarded"),
                Problem::topic_unknown(&["tasks", "reminders"]),
                unconfirmed(),
                Problem::not_published(""),
            ],
            ..described("Replay a dead letter", reference("DeadLetter"))
        },
        Operation::DiscardDeadLetter => Described {
            details: "Marks the letter as not to be dealt with. Discarding a discarded one changes nothing.",
            body: Some(json!({})),
            problems: vec![
                unknown(),
                Problem::letter_resolved("replayed"),
                unconfirmed(),
            ],
            ..described("Discard a dead letter", reference("DeadLetter"))
        },
        Operation::ReadDescription => {
            described("This document (OpenAPI)", json!({"type": "object"}))
        }
    }
}

fn parameter(name: &str) -> Value {
    let (meaning, schema) = match name {
        "status" => (
            "Open ones, or those that were replayed or discarded.",
            json!({"type": "string", "enum": ["open", "resolved"], "default": "open"}),
        ),
        "state" => (
            "Lanes that rest, or lanes whose turn has come.",
            json!({"type": "string", "enum": ["resting", "waiting"], "default": "resting"}),
        ),
        "limit" => (
            "How many at most.",
            json!({"type": "integer", "minimum": 1, "maximum": page::LARGEST_LIMIT, "default": page::DEFAULT_LIMIT}),
        ),
        "cursor" => (
            "Where the page begins, from `Link`.",
            json!({"type": "string"}),
        ),
        name => panic!("the parameter {name} has no description"),
    };
    json!({"name": name, "in": "query", "description": meaning, "schema": schema})
}

fn document() -> Value {
    let paths = ROUTES.iter().map(|(template, method, operation)| {
        let said = describe(template, *operation);
        let mut path = json!({method_name(method).to_lowercase(): said});
        if let Some(variable) = variable(template) {
            let schema = match variable {
                "id" => json!({"type": "string", "format": "uuid"}),
                _ => json!({"type": "string"}),
            };
            path["parameters"] =
                json!([{"name": variable, "in": "path", "required": true, "schema": schema}]);
        }
        ((*template).to_owned(), path)
    });
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "todo-events, for operators",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What waits, what failed, and what can be done about it. Every path below `/operator/api` wants a \
                token with `operator` in the array `roles`: without a token it answers 401, without the role 403, and only then \
                404 and 405. Errors are problem details (RFC 9457). Each action is logged with the token's `sub`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths.collect::<Map<_, _>>(),
        "components": {
            "securitySchemes": {"bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "As for users, and with `operator` in the claim `roles`.",
            }},
            "schemas": schemas::all(),
            "responses": shared().map(|(name, each)| (name.to_owned(), problem(&[each]))).into_iter().collect::<Map<_, _>>(),
        },
    })
}

/// The problems that many operations have, or none in particular.
fn shared() -> [(&'static str, Problem); 10] {
    [
        (
            "BadRequest",
            Problem::bad_request("The path must be UTF-8 without NUL."),
        ),
        (
            "Unauthenticated",
            Problem::unauthenticated("A bearer token is required."),
        ),
        ("Forbidden", Problem::not_an_operator()),
        ("NotFound", Problem::not_found("There is no such route.")),
        ("MethodNotAllowed", Problem::method_not_allowed("GET")),
        ("RequestTimeout", Problem::request_timeout(BODY_TIME)),
        ("ContentTooLarge", Problem::content_too_large(BODY_LIMIT)),
        ("Unavailable", Problem::unavailable("")),
        ("LetterResolved", Problem::letter_resolved("discarded")),
        (
            "Invalid",
            Problem::invalid(vec![Violation::field(
                "confirm",
                "must repeat the id in the path",
            )]),
        ),
    ]
}

/// The shared response of that problem, if there is one.
fn shared_response(wanted: &Problem) -> Option<Value> {
    let (name, _) = shared()
        .into_iter()
        .find(|(_, each)| each.details()["type"] == wanted.details()["type"])?;
    Some(json!({"$ref": format!("#/components/responses/{name}")}))
}

fn variable(template: &str) -> Option<&str> {
    let (_, rest) = template.split_once('{')?;
    Some(rest.split_once('}')?.0)
}

fn describe(template: &str, operation: Operation) -> Value {
    let said = said_of(operation);
    let mut problems = said.problems;
    problems.extend([
        Problem::bad_request(""),
        Problem::unauthenticated(""),
        Problem::not_an_operator(),
        // Where the keys of an issuer of tokens are in the database, too.
        Problem::unavailable(""),
    ]);
    if said.body.is_some() {
        problems.extend([
            Problem::request_timeout(BODY_TIME),
            Problem::content_too_large(BODY_LIMIT),
        ]);
    }
    let mut headers = json!({"Cache-Control": header("no-store")});
    if said.has_link {
        headers["Link"] = json!({
            "description": "The next page, rel=\"next\" (RFC 8288), if there is one.",
            "required": false,
            "schema": {"type": "string", "pattern": "^<[^<>]+>; rel=\"next\"$"},
        });
    }
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({
            "description": said.summary,
            "headers": headers,
            "content": {"application/json": {"schema": said.success}},
        }),
    );
    let mut statuses: Vec<u16> = problems.iter().map(Problem::status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let same: Vec<Problem> = problems
            .iter()
            .filter(|problem| problem.status() == status)
            .cloned()
            .collect();
        let response = match same.as_slice() {
            [one] => shared_response(one),
            _ => None,
        };
        responses.insert(
            status.to_string(),
            response.unwrap_or_else(|| problem(&same)),
        );
    }
    let name = format!("{operation:?}");
    let (first, rest) = name.split_at(1);
    let mut operation = json!({
        "summary": said.summary,
        "operationId": first.to_lowercase() + rest,
        "responses": responses,
    });
    if !said.details.is_empty() {
        operation["description"] = json!(said.details);
    }
    if !said.parameters.is_empty() {
        operation["parameters"] = json!(said.parameters);
    }
    if let Some(members) = said.body {
        let id = variable(template).unwrap_or_default();
        let mut properties = json!({"confirm": {
            "type": "string",
            "description": format!("The {id} in the path once more."),
        }});
        let mut required = vec!["confirm"];
        for (name, schema) in members.as_object().into_iter().flatten() {
            properties[name] = schema.clone();
            if name == "sequence" {
                required.push("sequence");
            }
        }
        operation["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": {
                "type": "object",
                "required": required,
                "properties": properties,
                "additionalProperties": false,
            }}},
        });
    }
    operation
}

/// A response that tells of one of these problems, all of one status.
fn problem(problems: &[Problem]) -> Value {
    let responses: Vec<Response> = problems.iter().map(Problem::response).collect();
    let bodies: Vec<Value> = problems.iter().map(Problem::details).collect();
    let all = |member: &str| {
        let values: Vec<&Value> = bodies.iter().map(|body| &body[member]).collect();
        json!({"enum": values})
    };
    let titles: Vec<&str> = bodies
        .iter()
        .filter_map(|body| body["title"].as_str())
        .collect();
    let mut schema = json!({
        "$ref": "#/components/schemas/Problem",
        "properties": {"type": all("type"), "title": all("title"), "status": {"const": bodies[0]["status"]}},
    });
    if bodies.iter().all(|body| body.get("errors").is_some()) {
        schema["required"] = json!(["errors"]);
    }
    let mut headers = json!({"Cache-Control": header("no-store")});
    for (name, value) in responses.iter().flat_map(Response::headers) {
        let (name, schema) = match name.as_str() {
            "content-type" => continue,
            "www-authenticate" => (
                "WWW-Authenticate",
                json!({"type": "string", "const": value}),
            ),
            "allow" => (
                "Allow",
                json!({"type": "string", "pattern": "^[A-Z]+(, [A-Z]+)*$"}),
            ),
            "retry-after" => ("Retry-After", json!({"type": "integer", "minimum": 0})),
            name => panic!("the header {name} has no description"),
        };
        headers[name] = json!({"required": true, "schema": schema});
    }
    json!({
        "description": format!("{}.", titles.join(", or ")),
        "headers": headers,
        "content": {"application/problem+json": {"schema": schema}},
    })
}

fn header(value: &str) -> Value {
    json!({"required": true, "schema": {"type": "string", "const": value}})
}

/// `INSTA_UPDATE=always`, which rewrites snapshots, rewrites this file too.
#[test]
fn the_description_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let current = format!("{:#}\n", document());
    if env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
        fs::write(path, current).unwrap();
    } else if committed != current {
        panic!(
            "openapi.json is not what the code says; `INSTA_UPDATE=always cargo test -p operator-api` rewrites it:\n{}",
            TextDiff::from_lines(&committed, &current).unified_diff()
        );
    }
}
