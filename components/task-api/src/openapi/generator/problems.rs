//! The problems that clients can get, as the service writes them.

use domain::violation::Violation;
use platform::http::{BODY_LIMIT, BODY_TIME, Response};
use platform::problem::Problem;
use serde_json::{Map, Value, json};

/// The responses by name: what they mean, and the problems that each can hold.
fn named() -> Vec<(&'static str, &'static str, Vec<Problem>)> {
    let invalid = || Problem::invalid(vec![Violation::field("title", "is required")]);
    vec![
        (
            "BadRequest",
            "The request cannot be read.",
            vec![Problem::bad_request("The path must be UTF-8 without NUL.")],
        ),
        (
            "Unauthenticated",
            "There is no valid token.",
            vec![Problem::unauthenticated("A bearer token is required.")],
        ),
        (
            "Forbidden",
            "The path is another user's.",
            vec![Problem::forbidden()],
        ),
        (
            "NotFound",
            "The user has no such thing.",
            vec![Problem::not_found("There is no such task.")],
        ),
        (
            "MethodNotAllowed",
            "The path has other methods. For methods that this document does not have.",
            vec![Problem::method_not_allowed("GET, POST")],
        ),
        (
            "RequestTimeout",
            "The body did not arrive within 10 s.",
            vec![Problem::request_timeout(BODY_TIME)],
        ),
        (
            "TooManyTasks",
            "The user has 50000 tasks already.",
            vec![Problem::too_many_tasks()],
        ),
        (
            "CannotSkip",
            "The task is completed, or does not recur.",
            vec![Problem::completed(), Problem::not_recurring()],
        ),
        (
            "CannotSnooze",
            "The task is not open, or due at another time than the notification says. Or five notifications of it are put off \
             already.",
            vec![
                Problem::not_open(),
                Problem::due_date_changed(),
                Problem::too_many_snoozed(),
            ],
        ),
        (
            "ChangesGone",
            "The changes after the number are not kept any more, or the number was never given. Start anew: take the newest \
             number, read all tasks, then follow from that number.",
            vec![Problem::changes_gone("/api/alice/changes?after=latest")],
        ),
        (
            "PreconditionFailed",
            "The task is at another version than `If-Match` says.",
            vec![Problem::precondition_failed()],
        ),
        (
            "ContentTooLarge",
            "The body is larger than 64 KiB.",
            vec![Problem::content_too_large(BODY_LIMIT)],
        ),
        (
            "Invalid",
            "Values are not valid; `errors` names each.",
            vec![invalid()],
        ),
        (
            "InvalidOrReused",
            "Values are not valid; `errors` names each. Or the idempotency key was used with another body.",
            vec![invalid(), Problem::idempotency_key_reused()],
        ),
        (
            "TooManyStreams",
            "The user has as many streams as a user may have.",
            vec![Problem::too_many_streams(1)],
        ),
        (
            "Unavailable",
            "The database cannot be reached.",
            vec![Problem::unavailable("")],
        ),
        (
            "UnavailableOrNoStreamFree",
            "The database cannot be reached. Or there are as many streams as there may be.",
            vec![Problem::unavailable(""), Problem::no_stream_free(1)],
        ),
    ]
}

/// The status of the response of that name.
pub(super) fn status(name: &str) -> u16 {
    let found = named().into_iter().find(|(known, _, _)| *known == name);
    let (_, _, problems) = found.unwrap_or_else(|| panic!("there is no response {name}"));
    let statuses: Vec<u16> = problems.iter().map(Problem::status).collect();
    assert!(statuses.iter().all(|status| *status == statuses[0]));
    statuses[0]
}

/// The responses by name.
pub(super) fn responses() -> Map<String, Value> {
    let response = |(name, meaning, problems): (&'static str, &'static str, Vec<Problem>)| {
        let responses: Vec<Response> = problems.iter().map(Problem::response).collect();
        (name.to_owned(), describe(meaning, &responses))
    };
    named().into_iter().map(response).collect()
}

fn describe(meaning: &str, responses: &[Response]) -> Value {
    let bodies: Vec<Value> = responses.iter().map(body).collect();
    let members = |member: &str| {
        let mut values: Vec<&Value> = bodies.iter().map(|body| &body[member]).collect();
        values.dedup();
        match values.as_slice() {
            [value] => json!({"const": value}),
            values => json!({"enum": values}),
        }
    };
    let mut content_type = "";
    let mut headers = Map::new();
    for (name, value) in responses[0].headers() {
        match name.as_str() {
            "content-type" => content_type = value,
            name => {
                headers.insert(canonical(name), header(name, value));
            }
        }
    }
    let mut schema = json!({
        "$ref": "#/components/schemas/Problem",
        "properties": {"type": members("type"), "title": members("title"), "status": members("status")},
    });
    if bodies.iter().all(|body| body.get("errors").is_some()) {
        schema["required"] = json!(["errors"]);
    }
    let mut described = json!({
        "description": meaning,
        "content": {content_type: {"schema": schema, "example": bodies[0]}},
    });
    if !headers.is_empty() {
        described["headers"] = Value::Object(headers);
    }
    described
}

fn body(response: &Response) -> Value {
    match serde_json::from_slice(response.body()) {
        Ok(body) => body,
        Err(error) => panic!("a problem that is no JSON: {error}"),
    }
}

fn header(name: &str, value: &str) -> Value {
    let (meaning, schema) = match name {
        "www-authenticate" => ("The scheme.", json!({"type": "string", "const": value})),
        "allow" => (
            "The path's methods.",
            json!({"type": "string", "pattern": "^[A-Z]+(, [A-Z]+)*$"}),
        ),
        "link" => (
            "The newest number, rel=\"start\" (RFC 8288).",
            json!({"type": "string", "pattern": "^<[^<>]+>; rel=\"start\"$"}),
        ),
        "retry-after" => ("Seconds to wait.", json!({"type": "integer", "minimum": 0})),
        name => panic!("the header {name} has no description"),
    };
    json!({"description": meaning, "required": true, "schema": schema})
}

/// A header's name as people write it.
fn canonical(name: &str) -> String {
    if name == "www-authenticate" {
        return "WWW-Authenticate".to_owned();
    }
    let word = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}
