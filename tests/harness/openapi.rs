//! Checks that answers are as the API's description (`/openapi.json`) says; those of the operator's API, as its own says.
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

/// The same of the operator's API.
pub const OPERATOR_OPENAPI: &str = include_str!("../../components/operator-api/openapi.json");

/// The paths that the operator's API answers, whatever they are.
const OPERATOR: &str = "operator/api/";

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

/// A description, its objects closed.
struct Document {
    json: Value,
    /// The schemas of answers, by where these stand.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Document {
    fn read(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(mut json) => {
                close(&mut json);
                Self {
                    json,
                    validators: Mutex::default(),
                }
            }
            Err(error) => panic!("openapi.json is not JSON: {error}"),
        }
    }

    fn of_tasks() -> &'static Self {
        static DOCUMENT: OnceLock<Document> = OnceLock::new();
        DOCUMENT.get_or_init(|| Self::read(OPENAPI))
    }

    fn of_operators() -> &'static Self {
        static DOCUMENT: OnceLock<Document> = OnceLock::new();
        DOCUMENT.get_or_init(|| Self::read(OPERATOR_OPENAPI))
    }

    /// The one that describes a path.
    fn about(path: &str) -> &'static Self {
        if path.starts_with(OPERATOR) {
            Self::of_operators()
        } else {
            Self::of_tasks()
        }
    }
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
    let document = Document::about(path);
    let is_operators = path.starts_with(OPERATOR);
    let Some(path) = decode(path) else {
        return document.fits(&shared("BadRequest"), 400, method, answer);
    };
    let Some((template, route)) = document.find(&path) else {
        return match answer.status {
            401 if is_operators => document.fits(&shared("Unauthenticated"), 401, method, answer),
            403 if is_operators => document.fits(&shared("Forbidden"), 403, method, answer),
            _ => document.fits(&shared("NotFound"), 404, method, answer),
        };
    };
    let operation = route
        .get(&method.to_lowercase())
        .filter(|_| is_method(method));
    let Some(operation) = operation else {
        return document.check_other_method(route, method, answer);
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
    document.fits(&pointer, answer.status, method, answer)
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

impl Document {
    /// A method that the route does not have is refused; a user's route is first asked for the token.
    fn check_other_method(
        &self,
        route: &Map<String, Value>,
        method: &str,
        answer: &Answer,
    ) -> Result<(), String> {
        match answer.status {
            401 => return self.fits(&shared("Unauthenticated"), 401, method, answer),
            403 => return self.fits(&shared("Forbidden"), 403, method, answer),
            _ => self.fits(&shared("MethodNotAllowed"), 405, method, answer)?,
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

    /// The described path that these segments fit.
    fn find(&self, path: &[String]) -> Option<(&str, &Map<String, Value>)> {
        let fits = |template: &str| {
            let segments: Vec<&str> = template.split('/').skip(1).collect();
            segments.len() == path.len()
                && segments
                    .iter()
                    .zip(path)
                    .all(|(segment, given)| segment.starts_with('{') || segment == given)
        };
        let paths = self.json["paths"].as_object().into_iter().flatten();
        paths
            .filter(|(template, _)| fits(template))
            .find_map(|(template, route)| Some((template.as_str(), route.as_object()?)))
    }

    /// Whether an answer is the response at `pointer`.
    fn fits(
        &self,
        pointer: &str,
        status: u16,
        method: &str,
        answer: &Answer,
    ) -> Result<(), String> {
        let found = self.json.pointer(pointer);
        let response = found.ok_or_else(|| format!("there is no {pointer}"))?;
        if let Some(shared) = response["$ref"].as_str() {
            return self.fits(shared.trim_start_matches('#'), status, method, answer);
        }
        if answer.status != status {
            return Err(format!("{status} was to be expected"));
        }
        let headers = response["headers"].as_object();
        for (name, header) in headers.into_iter().flatten() {
            match answer.header(&name.to_lowercase()) {
                Some(value) => {
                    let at = format!("{pointer}/headers/{name}/schema");
                    self.is_valid(&at, &header_value(header, value))
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
                    serde_json::from_slice(&answer.body)
                        .map_err(|error| format!("no JSON: {error}"))?
                } else {
                    json!(String::from_utf8_lossy(&answer.body))
                };
                self.is_valid(&at, &body)
            }
            (Some(_), content_type) => Err(format!("the content type is {content_type:?}")),
        }
    }

    /// Whether a value fits the schema at `pointer`.
    fn is_valid(&self, pointer: &str, value: &Value) -> Result<(), String> {
        let validator = {
            let mut validators = self
                .validators
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let known = validators.entry(pointer.to_owned());
            known
                .or_insert_with(|| Arc::new(self.validator(pointer)))
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

    fn validator(&self, pointer: &str) -> Validator {
        // Beside it stands what its references lead to.
        let schema = json!({
            "allOf": [self.json.pointer(pointer)],
            "components": self.json["components"],
        });
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true);
        match options.build(&schema) {
            Ok(validator) => validator,
            Err(error) => panic!("{pointer} is no schema: {error}"),
        }
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

/// Where a response stands that operations share.
fn shared(name: &str) -> String {
    format!("/components/responses/{name}")
}

fn header_value(header: &Value, value: &str) -> Value {
    match value.parse::<i64>() {
        Ok(number) if header["schema"]["type"] == "integer" => json!(number),
        _ => json!(value),
    }
}

/// The name of the operation that `method` on `target` asks for, if one is described.
pub fn operation_id(method: &str, target: &str) -> Option<&'static str> {
    let path = path_of(target);
    let (_, route) = Document::about(path).find(&decode(path)?)?;
    route.get(&method.to_lowercase())?["operationId"].as_str()
}

/// Every answer described of the API of tasks: the operation's name and the status.
pub fn described_answers() -> Vec<(String, u16)> {
    answers_of(Document::of_tasks())
}

/// The same of the operator's API.
pub fn operators_answers() -> Vec<(String, u16)> {
    answers_of(Document::of_operators())
}

fn answers_of(document: &Document) -> Vec<(String, u16)> {
    let routes = document.json["paths"]
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
