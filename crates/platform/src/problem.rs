//! Errors as clients see them: problem details (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use domain::violation::{Location, Violation};
use serde_json::{Value, json};

use crate::database::DatabaseError;
use crate::http::Response;

/// An error in a client's answer.
///
/// The cause goes to the log; the client gets a stable type, a title, a detail for people and, for invalid input, the
/// place of each mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    violations: Vec<Violation>,
    header: Option<(&'static str, Cow<'static, str>)>,
    cause: Option<String>,
}

/// What all problems of one type have in common.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    status: u16,
    code: &'static str,
    title: &'static str,
}

impl Kind {
    const fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self {
            status,
            code,
            title,
        }
    }
}

static BAD_REQUEST: Kind = Kind::new(400, "bad-request", "Bad request");
static UNAUTHENTICATED: Kind = Kind::new(401, "unauthenticated", "Unauthenticated");
static FORBIDDEN: Kind = Kind::new(403, "forbidden", "Forbidden");
static NOT_FOUND: Kind = Kind::new(404, "not-found", "Not found");
static METHOD_NOT_ALLOWED: Kind = Kind::new(405, "method-not-allowed", "Method not allowed");
static REQUEST_TIMEOUT: Kind = Kind::new(408, "request-timeout", "Request timeout");
static TOO_MANY_TASKS: Kind = Kind::new(409, "too-many-tasks", "Too many tasks");
static COMPLETED: Kind = Kind::new(409, "completed", "Task completed");
static NOT_RECURRING: Kind = Kind::new(409, "not-recurring", "Task not recurring");
static NOT_OPEN: Kind = Kind::new(409, "not-open", "Task not open");
static DUE_DATE_CHANGED: Kind = Kind::new(409, "due-date-changed", "Due date changed");
static TOO_MANY_SNOOZED: Kind = Kind::new(409, "too-many-snoozed", "Too many snoozed");
static LETTER_RESOLVED: Kind = Kind::new(409, "letter-resolved", "Dead letter resolved");
static TOPIC_UNKNOWN: Kind = Kind::new(409, "topic-unknown", "Topic unknown");
static CANNOT_SKIP_EVENT: Kind = Kind::new(409, "cannot-skip-event", "Event not to be skipped");
static CHANGES_GONE: Kind = Kind::new(410, "changes-gone", "Changes gone");
static PRECONDITION_FAILED: Kind = Kind::new(412, "precondition-failed", "Precondition failed");
static CONTENT_TOO_LARGE: Kind = Kind::new(413, "content-too-large", "Content too large");
static INVALID: Kind = Kind::new(422, "invalid", "Invalid request");
static IDEMPOTENCY_KEY_REUSED: Kind =
    Kind::new(422, "idempotency-key-reused", "Idempotency key reused");
static TOO_MANY_STREAMS: Kind = Kind::new(429, "too-many-streams", "Too many streams");
static INTERNAL: Kind = Kind::new(500, "internal", "Internal server error");
static UNAVAILABLE: Kind = Kind::new(503, "unavailable", "Service unavailable");
static NOT_PUBLISHED: Kind = Kind::new(503, "not-published", "Not published");
static NO_STREAM_FREE: Kind = Kind::new(503, "no-stream-free", "No stream free");

impl Problem {
    fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            violations: Vec::new(),
            header: None,
            cause: None,
        }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(&BAD_REQUEST, detail)
    }

    /// 401: the client did not prove who it is.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(&UNAUTHENTICATED, detail);
        problem.header = Some(("www-authenticate", "Bearer".into()));
        problem
    }

    /// 401: not a call of the sidecar.
    pub fn not_the_sidecar() -> Self {
        Self::new(&UNAUTHENTICATED, "Only the sidecar may call this route.")
    }

    /// 403: the path is another user's.
    pub fn forbidden() -> Self {
        Self::new(
            &FORBIDDEN,
            "The token belongs to another user than the path.",
        )
    }

    /// 403: the token has not the role of an operator.
    pub fn not_an_operator() -> Self {
        Self::new(&FORBIDDEN, "The token does not have the role operator.")
    }

    /// 404: there is no such route, or no such thing of this user's.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(&NOT_FOUND, detail)
    }

    /// 405: the route has other methods (RFC 9110 section 15.5.6).
    pub fn method_not_allowed(allowed: impl Into<Cow<'static, str>>) -> Self {
        let allowed = allowed.into();
        let detail = format!("This route allows {allowed}.");
        let mut problem = Self::new(&METHOD_NOT_ALLOWED, detail);
        problem.header = Some(("allow", allowed));
        problem
    }

    /// 408: the body took too long.
    pub fn request_timeout(limit: Duration) -> Self {
        let detail = format!("The body did not arrive within {} s.", limit.as_secs());
        Self::new(&REQUEST_TIMEOUT, detail)
    }

    /// 409: the user has as many tasks as a user may have.
    pub fn too_many_tasks() -> Self {
        let detail = "You have as many tasks as a user may have; delete some that are done.";
        Self::new(&TOO_MANY_TASKS, detail)
    }

    /// 409: the task is completed, so there is nothing to skip.
    pub fn completed() -> Self {
        let detail = "The task is completed already; its next instance follows, if it recurs.";
        Self::new(&COMPLETED, detail)
    }

    /// 409: the task has no next instance to skip to.
    pub fn not_recurring() -> Self {
        let detail = "The task does not recur, so there is no next instance to skip to.";
        Self::new(&NOT_RECURRING, detail)
    }

    /// 409: the task of the notification is not open, so there is nothing to be reminded of.
    pub fn not_open() -> Self {
        let detail =
            "The task is completed, skipped or deleted, so it is not to be reminded of again.";
        Self::new(&NOT_OPEN, detail)
    }

    /// 409: the due date has changed since the notification came.
    pub fn due_date_changed() -> Self {
        let detail = "The task's due date has changed since; the reminders of its new one come by themselves.";
        Self::new(&DUE_DATE_CHANGED, detail)
    }

    /// 409: the task has as many snoozed notifications as a task may have.
    pub fn too_many_snoozed() -> Self {
        let detail = "Five notifications of this task are put off already.";
        Self::new(&TOO_MANY_SNOOZED, detail)
    }

    /// 409: a dead letter was dealt with in another way.
    pub fn letter_resolved(status: &str) -> Self {
        let detail = format!(
            "The dead letter was {status} already. If its record is given up again, it is open again."
        );
        Self::new(&LETTER_RESOLVED, detail)
    }

    /// 409: the topic that a dead letter came from is not known, or none of the service's.
    pub fn topic_unknown(topics: &[&str]) -> Self {
        let detail = format!(
            "The dead letter did not come from a topic of this service; say in topic where to publish it: {}.",
            topics.join(" or ")
        );
        Self::new(&TOPIC_UNKNOWN, detail)
    }

    /// 409: an event is not one that an operator may skip now.
    pub fn cannot_skip_event(detail: impl Into<String>) -> Self {
        Self::new(&CANNOT_SKIP_EVENT, detail)
    }

    /// 410: the changes after this number are gone; `start` is the path that returns the newest number.
    pub fn changes_gone(start: &str) -> Self {
        let detail = "The changes after this number are not kept any more, or the number was never given. Start anew: take \
            the newest number from the address in Link, read all tasks, then follow from that number.";
        let mut problem = Self::new(&CHANGES_GONE, detail);
        problem.header = Some(("link", format!("<{start}>; rel=\"start\"").into()));
        problem
    }

    /// 412: the task is not at the version that `If-Match` names.
    pub fn precondition_failed() -> Self {
        let detail = "The task has changed since; read it again.";
        Self::new(&PRECONDITION_FAILED, detail)
    }

    /// 413: the body is larger than is read.
    pub fn content_too_large(limit: usize) -> Self {
        let detail = format!("The body is larger than {limit} bytes.");
        Self::new(&CONTENT_TOO_LARGE, detail)
    }

    /// 422: the request is well formed, but these values are not valid.
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let detail = violations
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ");
        Self {
            violations,
            ..Self::new(&INVALID, detail)
        }
    }

    /// 422: the idempotency key was used for another body.
    pub fn idempotency_key_reused() -> Self {
        let detail = "This Idempotency-Key was used for another request in the last 24 hours.";
        Self::new(&IDEMPOTENCY_KEY_REUSED, detail)
    }

    /// 429: the user has as many streams as a user may have.
    pub fn too_many_streams(retry_after: u64) -> Self {
        let detail = "You have as many streams open as a user may have; read pages, or close one.";
        let mut problem = Self::new(&TOO_MANY_STREAMS, detail);
        problem.header = Some(("retry-after", retry_after.to_string().into()));
        problem
    }

    /// 500: a fault of the service; `cause` is for the log.
    pub fn internal(cause: impl Into<String>) -> Self {
        let detail = "The service failed; the fault is logged.";
        Self {
            cause: Some(cause.into()),
            ..Self::new(&INTERNAL, detail)
        }
    }

    /// 503: PostgreSQL cannot be reached; `cause` is for the log.
    pub fn unavailable(cause: impl Into<String>) -> Self {
        let detail = "The database cannot be reached. Try again; with the same Idempotency-Key if this is a create.";
        Self {
            cause: Some(cause.into()),
            header: Some(("retry-after", "1".into())),
            ..Self::new(&UNAVAILABLE, detail)
        }
    }

    /// 503: the sidecar did not take a record; `cause` is for the log.
    pub fn not_published(cause: impl Into<String>) -> Self {
        let detail = "The sidecar did not publish it, or did not answer. The dead letter is open still; try again later.";
        Self {
            cause: Some(cause.into()),
            header: Some(("retry-after", "5".into())),
            ..Self::new(&NOT_PUBLISHED, detail)
        }
    }

    /// 503: the host has as many streams as it may have.
    pub fn no_stream_free(retry_after: u64) -> Self {
        let detail = "There are as many streams as there may be; read pages meanwhile.";
        let mut problem = Self::new(&NO_STREAM_FREE, detail);
        problem.header = Some(("retry-after", retry_after.to_string().into()));
        problem
    }

    /// The HTTP status code.
    pub fn status(&self) -> u16 {
        self.kind.status
    }

    /// The cause: for the log, never for the client.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The same problem, for a body that is a part of a larger one and stands there at `place`.
    #[must_use]
    pub fn under(mut self, place: &str) -> Self {
        if !self.violations.is_empty() {
            let moved = self
                .violations
                .into_iter()
                .map(|violation| violation.under(place));
            self = Self::invalid(moved.collect());
        }
        self
    }

    /// The problem details.
    pub fn details(&self) -> Value {
        let mut details = json!({
            "type": format!("urn:todo-events:problem:{}", self.kind.code),
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        });
        if !self.violations.is_empty() {
            details["errors"] = self.violations.iter().map(error).collect();
        }
        details
    }

    /// The response to the client.
    pub fn response(&self) -> Response {
        let mut response = Response::new(self.kind.status)
            .with_header("content-type", "application/problem+json")
            .with_body(self.details().to_string());
        if let Some((name, value)) = &self.header {
            response = response.with_header(name, value.as_ref());
        }
        response
    }
}

fn error(violation: &Violation) -> Value {
    let (kind, place) = match &violation.location {
        Location::Pointer(pointer) => ("pointer", pointer.as_str()),
        Location::Parameter(name) => ("parameter", name.as_str()),
        Location::Header(name) => ("header", *name),
    };
    json!({kind: place, "detail": violation.detail})
}

impl From<Vec<Violation>> for Problem {
    fn from(violations: Vec<Violation>) -> Self {
        Self::invalid(violations)
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(_) => Self::unavailable(error.to_string()),
            DatabaseError::Refused { .. } | DatabaseError::UnexpectedAnswer(_) => {
                Self::internal(error.to_string())
            }
        }
    }
}

impl From<crate::configuration::ConfigurationError> for Problem {
    fn from(error: crate::configuration::ConfigurationError) -> Self {
        Self::internal(error.to_string())
    }
}
