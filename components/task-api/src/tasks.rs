//! The operations on tasks: parse, call one function of the database, answer.

use domain::entity_tag::{Precondition, entity_tag};
use domain::idempotency_key::IdempotencyKey;
use domain::page::Position;
use domain::task_fields::{
    NewTask, due_date_missing, parse_new_task, parse_task_patch, recurrence_mismatch, rule_missing,
};
use domain::task_list::TaskQuery;
use domain::user_id::UserId;
use domain::violation::{Location, Violation};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use platform::call::Call;
use platform::configuration;
use platform::database::Database;
use platform::http::{BODY_LIMIT, Request, Response};
use platform::lists;
use platform::outbox::{Emitted, EventDraft, Publishing};
use platform::problem::Problem;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Answer;
use crate::link::next_link;

fn no_such_task() -> Problem {
    Problem::not_found("There is no such task.")
}

/// What a function returns.
#[derive(Deserialize)]
pub(crate) struct Changed {
    pub(crate) outcome: Outcome,
    task: Option<Box<RawValue>>,
    emitted: Option<Emitted>,
}

impl Changed {
    /// Takes what the function emitted. A change without its event is an error: no handler would learn of it.
    pub(crate) fn take_emitted(&mut self) -> Result<Option<Emitted>, Problem> {
        let emitted = self.emitted.take();
        if (self.outcome == Outcome::Changed) != emitted.is_some() {
            return Err(Problem::internal(format!(
                "{:?} without its event",
                self.outcome
            )));
        }
        Ok(emitted)
    }

    /// The task as the answer shows it; `None` if it was deleted.
    pub(crate) fn task(&self) -> Option<&str> {
        self.task.as_deref().map(RawValue::get)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The task changed, and its event is stored.
    Changed,
    /// There was nothing to change.
    Unchanged,
    /// The user has no such task.
    NotFound,
    /// The task is at another version than required.
    PreconditionFailed,
    /// The patch would leave the task with an interval that does not recur, or the reverse.
    RecurrenceMismatch,
    /// The patch names a part of a recurrence to a task that has none.
    RuleMissing,
    /// The patch names reminders, and the task has no due date.
    DueDateMissing,
    /// A task that is completed cannot be skipped.
    Completed,
    /// A task that does not recur cannot be skipped.
    NotRecurring,
    /// PostgreSQL's copy of the time-zone database is older than the API's, and does not have the task's zone.
    UnknownTimeZone,
    /// The user may not have more tasks.
    TooManyTasks,
    /// The same request has used the idempotency key; this is its answer.
    Repeated,
    /// Another request has used the idempotency key.
    KeyReused,
}

/// Calls a function that may emit an event. `call` has all arguments except `outbox`.
fn run(traceparent: Option<&str>, call: Call) -> Result<(Changed, Option<Publishing>), Problem> {
    let database = Database::from_configuration()?;
    let sidecar = configuration::variable("sidecar_name")?;
    let draft = EventDraft::new(&sidecar).traced(traceparent);
    let mut changed: Changed = database.call(call.json("outbox", draft.json()))?;
    let emitted = changed.take_emitted()?;
    let publishing = emitted.and_then(|emitted| draft.publishing(emitted));
    Ok((changed, publishing))
}

fn respond(
    (changed, publishing): (Changed, Option<Publishing>),
    success: impl FnOnce(Option<&str>) -> Result<Response, Problem>,
) -> Result<Answer, Problem> {
    if let Some(problem) = refusal(changed.outcome) {
        return Err(problem);
    }
    Ok(Answer {
        response: success(changed.task())?,
        publishing,
    })
}

/// The client's answer if the state of a task forbids the operation.
pub(crate) fn refusal(outcome: Outcome) -> Option<Problem> {
    Some(match outcome {
        Outcome::Changed | Outcome::Unchanged | Outcome::Repeated => return None,
        Outcome::NotFound => no_such_task(),
        Outcome::PreconditionFailed => Problem::precondition_failed(),
        Outcome::RecurrenceMismatch => Problem::invalid(vec![recurrence_mismatch()]),
        Outcome::TooManyTasks => Problem::too_many_tasks(),
        Outcome::KeyReused => Problem::idempotency_key_reused(),
        Outcome::RuleMissing => Problem::invalid(vec![rule_missing()]),
        Outcome::DueDateMissing => Problem::invalid(vec![due_date_missing()]),
        Outcome::Completed => Problem::completed(),
        Outcome::NotRecurring => Problem::not_recurring(),
        Outcome::UnknownTimeZone => {
            let detail = "is not known to this server's PostgreSQL";
            Problem::invalid(vec![Violation::field("timezone", detail)])
        }
    })
}

fn nothing_to_show() -> Problem {
    Problem::internal("no task to show")
}

/// A task, with its entity tag.
fn task_response(status: u16, task: &str) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    struct Version {
        version: i64,
    }
    let Version { version } =
        serde_json::from_str(task).map_err(|_| Problem::internal("a task without version"))?;
    Ok(Response::json(status, task).with_header("etag", entity_tag(version)))
}

/// Lists tasks.
pub(crate) fn list(request: &Request, user: &UserId) -> Result<Answer, Problem> {
    #[derive(Deserialize)]
    struct Page {
        tasks: Box<RawValue>,
        last: Option<Position>,
    }
    let query = TaskQuery::parse(request.query())?;
    let (statement, parameters) = lists::tasks::statement(user, &query);
    let page: Page = Database::from_configuration()?.query(&statement, &parameters)?;
    let response = Response::json(200, page.tasks.get());
    Ok(match page.last {
        Some(last) => response.with_header(
            "link",
            next_link(
                &tasks_path(user),
                request.query(),
                &query.cursor_after(last),
            ),
        ),
        None => response,
    }
    .into())
}

fn tasks_path(user: &UserId) -> String {
    format!(
        "/api/{}/tasks",
        utf8_percent_encode(user.as_str(), NON_ALPHANUMERIC)
    )
}

/// Reads a task.
pub(crate) fn read(user: &UserId, task: Option<Uuid>) -> Result<Answer, Problem> {
    let task = task.ok_or_else(no_such_task)?;
    let call = Call::of("read_task")
        .text("user_id", user.as_str())
        .uuid("task_id", task);
    let found: Option<Box<RawValue>> = Database::from_configuration()?.call(call)?;
    let found = found.ok_or_else(no_such_task)?;
    Ok(task_response(200, found.get())?.into())
}

/// Creates a task.
pub(crate) async fn create(request: Request, user: &UserId) -> Result<Answer, Problem> {
    let trace = request.traceparent();
    let key = idempotency_key(&request)?;
    let new = parse_new_task(json_body(request).await?)?;
    let (new, hash) = spelled(&new)?;
    let hash = key.as_ref().map(|_| hash);
    let call = Call::of("create_task")
        .text("user_id", user.as_str())
        .uuid("task_id", Uuid::now_v7())
        .json("fields", new)
        .optional_text("key", key.as_ref().map(IdempotencyKey::as_str))
        .bytes("request_hash", hash);
    respond(run(trace.as_deref(), call)?, |task| {
        let task = task.ok_or_else(nothing_to_show)?;
        #[derive(Deserialize)]
        struct Created {
            id: Uuid,
        }
        let Created { id } =
            serde_json::from_str(task).map_err(|_| Problem::internal("a task without id"))?;
        let location = format!("{}/{id}", tasks_path(user));
        Ok(task_response(201, task)?.with_header("location", location))
    })
}

/// A new task as the database gets it, which does not depend on how the client wrote the body; and its hash, by which
/// an idempotency key recognises the same request.
pub(crate) fn spelled(task: &NewTask) -> Result<(String, Vec<u8>), Problem> {
    let task = serde_json::to_string(task).map_err(|error| Problem::internal(error.to_string()))?;
    let hash = Sha256::digest(&task).to_vec();
    Ok((task, hash))
}

fn idempotency_key(request: &Request) -> Result<Option<IdempotencyKey>, Problem> {
    const HEADER: &str = "idempotency-key";
    if !request.has_header(HEADER) {
        return Ok(None);
    }
    let value = request.header(HEADER).unwrap_or_default();
    IdempotencyKey::try_from(value.as_str())
        .map(Some)
        .map_err(|error| {
            let location = Location::Header("Idempotency-Key");
            Problem::invalid(vec![Violation {
                location,
                detail: error.to_string(),
            }])
        })
}

/// The versions that `If-Match` allows; `None` if any version will do. A header that cannot be read, or that came
/// twice, allows none.
fn required_versions(request: &Request) -> Option<Vec<i64>> {
    const HEADER: &str = "if-match";
    if !request.has_header(HEADER) {
        return None;
    }
    match Precondition::parse(&request.header(HEADER).unwrap_or_default()) {
        Precondition::Any => None,
        Precondition::OneOf(versions) => Some(versions),
    }
}

/// Changes a task.
pub(crate) async fn update(
    request: Request,
    user: &UserId,
    task: Option<Uuid>,
) -> Result<Answer, Problem> {
    let task = task.ok_or_else(no_such_task)?;
    let trace = request.traceparent();
    let versions = required_versions(&request);
    let patch = parse_task_patch(json_body(request).await?)?;
    let patch = Value::Object(patch.values().clone()).to_string();
    let call = Call::of("update_task")
        .text("user_id", user.as_str())
        .uuid("task_id", task)
        .json("patch", patch)
        .bigints("versions", versions.as_deref());
    respond(run(trace.as_deref(), call)?, |task| {
        task_response(200, task.ok_or_else(nothing_to_show)?)
    })
}

/// Completes a task.
pub(crate) fn complete(
    request: &Request,
    user: &UserId,
    task: Option<Uuid>,
) -> Result<Answer, Problem> {
    change(request, Call::of("complete_task"), user, task)
}

/// Reopens a task.
pub(crate) fn reopen(
    request: &Request,
    user: &UserId,
    task: Option<Uuid>,
) -> Result<Answer, Problem> {
    change(request, Call::of("reopen_task"), user, task)
}

/// Skips an instance of a recurring task: ends it without completing it.
pub(crate) fn skip(
    request: &Request,
    user: &UserId,
    task: Option<Uuid>,
) -> Result<Answer, Problem> {
    change(request, Call::of("skip_task"), user, task)
}

/// Deletes a task.
pub(crate) fn delete(
    request: &Request,
    user: &UserId,
    task: Option<Uuid>,
) -> Result<Answer, Problem> {
    change(request, Call::of("delete_task"), user, task)
}

/// Calls a function that needs only the task and perhaps its version.
fn change(
    request: &Request,
    call: Call,
    user: &UserId,
    task: Option<Uuid>,
) -> Result<Answer, Problem> {
    let task = task.ok_or_else(no_such_task)?;
    let call = call
        .text("user_id", user.as_str())
        .uuid("task_id", task)
        .bigints("versions", required_versions(request).as_deref());
    let done = run(request.traceparent().as_deref(), call)?;
    respond(done, |task| match task {
        None => Ok(Response::new(204)),
        Some(task) => task_response(200, task),
    })
}

pub(crate) async fn json_body(request: Request) -> Result<Value, Problem> {
    let body = request.body(BODY_LIMIT).await?;
    serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(format!(
            "The body is not JSON (RFC 8259): line {}, column {}.",
            error.line(),
            error.column()
        ))
    })
}
