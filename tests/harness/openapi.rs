//! Checks that answers are as the API's description (`/openapi.json`) says.
//!
//! Stricter than a client has to be: an object has no member, and an answer no header field, that is not described.
//! What only the sidecar or Kubernetes ask for is not described. Nor is a 500, which is always a fault.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::{Draft, Validator};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::answer::Answer;

/// The description as committed; the service serves the same file.
pub const OPENAPI: &str = include_str!("../../components/task-api/openapi.json");

/// What the description leaves out.
const UNDESCRIBED: [&str; 8] = [
    "dapr/subscribe",
    "readyz/deliveries",
    "internal/relay",
    "api/events/tasks",
    "api/events/reminders",
    "api/events/dead-letters",
    "api/events/ignored",
    "job/",
];

/// Header fields of any answer.
const COMMON_HEADERS: [&str; 4] = ["content-type", "content-length", "date", "connection"];

/// What hosts answer in their own words to a request that they do not understand.
const HOSTS_OWN: [u16; 3] = [400, 414, 431];

/// The description, its objects closed.
fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| match serde_json::from_str(OPENAPI) {
        Ok(mut description) => {
            close(&mut description);
            description
        }
        Err(error) => panic!("openapi.json is not JSON: {error}"),
    })
}

/// Allows no other members than described in objects that do not say otherwise.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            let is_object = members.get("type").is_some_and(|kind| kind == "object");
            if is_object
                && members.contains_key("properties")
                && !members.contains_key("additionalProperties")
            {
                members.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Requires that an answer to `method` on `target`, a path with its query, is as described.
///
/// # Panics
///
/// When it is not, with what differs.
pub fn require(method: &str, target: &str, answer: &Answer) {
    if let Err(misfit) = check(method, target, answer) {
        panic!(
            "{method} {target} was answered otherwise than openapi.json says: {misfit}\n{answer:?}"
        );
    }
}

/// Whether an answer to `method` on `target` is as described.
///
/// # Errors
///
/// What differs.
pub fn check(method: &str, target: &str, answer: &Answer) -> Result<(), String> {
    let is_hosts_own = HOSTS_OWN.contains(&answer.status) && answer.body.is_empty();
    let path = path_of(target);
    if is_hosts_own || UNDESCRIBED.iter().any(|route| path.starts_with(route)) {
        return Ok(());
    }
    let Some(path) = decode(path) else {
        return fits(&shared("BadRequest"), 400, method, answer);
    };
    let Some((template, route)) = find(&path) else {
        return fits(&shared("NotFound"), 404, method, answer);
    };
    let operation = route
        .get(&method.to_lowercase())
        .filter(|_| is_method(method));
    let Some(operation) = operation else {
        return check_other_method(route, method, answer);
    };
    let status = answer.status.to_string();
    if operation["responses"].get(&status).is_none() {
        return Err(format!("{template} does not answer {status}"));
    }
    let pointer = format!(
        "/paths/{}/{}/responses/{status}",
        template.replace('/', "~1"),
        method.to_lowercase()
    );
    fits(&pointer, answer.status, method, answer)
}

/// The path of a request's target, in origin or absolute form (RFC 9112, section 3.2), without the slashes that it
/// begins with: the host takes several for one.
fn path_of(target: &str) -> &str {
    let origin = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let path = origin.split('?').next().unwrap_or_default();
    path.trim_start_matches('/')
}

/// A method that the route does not have is refused; a user's route is first asked for the token.
fn check_other_method(
    route: &Map<String, Value>,
    method: &str,
    answer: &Answer,
) -> Result<(), String> {
    match answer.status {
        401 => return fits(&shared("Unauthenticated"), 401, method, answer),
        403 => return fits(&shared("Forbidden"), 403, method, answer),
        _ => fits(&shared("MethodNotAllowed"), 405, method, answer)?,
    }
    let mut allowed: Vec<&str> = answer
        .header("allow")
        .unwrap_or_default()
        .split(", ")
        .collect();
    let mut described: Vec<String> = route
        .keys()
        .map(|member| member.to_uppercase())
        .filter(|member| is_method(member))
        .collect();
    allowed.sort_unstable();
    described.sort_unstable();
    if allowed == described {
        Ok(())
    } else {
        Err(format!("it allows {allowed:?}, not {described:?}"))
    }
}

fn is_method(member: &str) -> bool {
    ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&member)
}

/// The segments of a path, none where they are no text.
fn decode(path: &str) -> Option<Vec<String>> {
    let segments = path.split('/');
    let decoded = segments.map(|segment| percent_decode_str(segment).decode_utf8().ok());
    let decoded: Option<Vec<String>> = decoded
        .map(|text| text.map(|text| text.into_owned()))
        .collect();
    decoded.filter(|segments| segments.iter().all(|segment| !segment.contains('\0')))
}

/// The described path that these segments fit.
fn find(path: &[String]) -> Option<(&'static str, &'static Map<String, Value>)> {
    let fits = |template: &str| {
        let segments: Vec<&str> = template.split('/').skip(1).collect();
        segments.len() == path.len()
            && segments
                .iter()
                .zip(path)
                .all(|(segment, given)| segment.starts_with('{') || segment == given)
    };
    let paths = description()["paths"].as_object().into_iter().flatten();
    paths
        .filter(|(template, _)| fits(template))
        .find_map(|(template, route)| Some((template.as_str(), route.as_object()?)))
}

/// Where a response stands that operations share.
fn shared(name: &str) -> String {
    format!("/components/responses/{name}")
}

/// Whether an answer is the response at `pointer`.
fn fits(pointer: &str, status: u16, method: &str, answer: &Answer) -> Result<(), String> {
    let found = description().pointer(pointer);
    let response = found.ok_or_else(|| format!("there is no {pointer}"))?;
    if let Some(shared) = response["$ref"].as_str() {
        return fits(shared.trim_start_matches('#'), status, method, answer);
    }
    if answer.status != status {
        return Err(format!("{status} was to be expected"));
    }
    let headers = response["headers"].as_object();
    for (name, header) in headers.into_iter().flatten() {
        match answer.header(&name.to_lowercase()) {
            Some(value) => {
                let at = format!("{pointer}/headers/{name}/schema");
                is_valid(&at, &header_value(header, value))
                    .map_err(|misfit| format!("{name}: {misfit}"))?;
            }
            None if header["required"] == true => return Err(format!("{name} is missing")),
            None => {}
        }
    }
    for (name, _) in &answer.headers {
        let mut described = headers.into_iter().flat_map(Map::keys);
        if !COMMON_HEADERS.contains(&name.as_str())
            && !described.any(|known| known.eq_ignore_ascii_case(name))
        {
            return Err(format!("{name} is not described"));
        }
    }
    let content_type = answer.header("content-type");
    match (response["content"].as_object(), content_type) {
        (None, None) if answer.body.is_empty() => Ok(()),
        (None, _) => Err("there is a body".to_owned()),
        (Some(_), _) if method == "HEAD" => Ok(()),
        (Some(content), Some(content_type)) if content.contains_key(content_type) => {
            let at = format!(
                "{pointer}/content/{}/schema",
                content_type.replace('/', "~1")
            );
            let body = if content_type.ends_with("json") {
                serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))?
            } else {
                json!(String::from_utf8_lossy(&answer.body))
            };
            is_valid(&at, &body)
        }
        (Some(_), content_type) => Err(format!("the content type is {content_type:?}")),
    }
}

fn header_value(header: &Value, value: &str) -> Value {
    match value.parse::<i64>() {
        Ok(number) if header["schema"]["type"] == "integer" => json!(number),
        _ => json!(value),
    }
}

/// Whether a value fits the schema at `pointer`.
fn is_valid(pointer: &str, value: &Value) -> Result<(), String> {
    static VALIDATORS: Mutex<Option<HashMap<String, Arc<Validator>>>> = Mutex::new(None);
    let validator = {
        let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
        let validators = validators.get_or_insert_default();
        let known = validators.entry(pointer.to_owned());
        known
            .or_insert_with(|| Arc::new(validator(pointer)))
            .clone()
    };
    let misfits: Vec<String> = validator
        .iter_errors(value)
        .map(|misfit| format!("{} at {:?}", misfit, misfit.instance_path().to_string()))
        .collect();
    if misfits.is_empty() {
        Ok(())
    } else {
        Err(misfits.join("; "))
    }
}

fn validator(pointer: &str) -> Validator {
    // Beside it stands what its references lead to.
    let schema = json!({
        "allOf": [description().pointer(pointer)],
        "components": description()["components"],
    });
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true);
    match options.build(&schema) {
        Ok(validator) => validator,
        Err(error) => panic!("{pointer} is no schema: {error}"),
    }
}

/// The name of the operation that `method` on `target` asks for, if one is described.
pub fn operation_id(method: &str, target: &str) -> Option<&'static str> {
    let path = decode(path_of(target))?;
    let (_, route) = find(&path)?;
    route.get(&method.to_lowercase())?["operationId"].as_str()
}

/// Every answer described: the operation's name and the status.
pub fn described_answers() -> Vec<(String, u16)> {
    let routes = description()["paths"]
        .as_object()
        .into_iter()
        .flat_map(Map::values);
    let operations = routes.filter_map(Value::as_object).flat_map(Map::values);
    let mut answers = Vec::new();
    for operation in operations {
        for status in operation["responses"]
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
        {
            let name = operation["operationId"].as_str().unwrap_or_default();
            answers.push((name.to_owned(), status.parse().unwrap_or_default()));
        }
    }
    answers
}
