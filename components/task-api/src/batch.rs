//! Many operations on tasks in one request: parse them, call one database function for all, return the result of each.

use domain::batch::{CREATE, Operation, UPDATE, parse_batch, pointer, subject};
use domain::idempotency_key::IdempotencyKey;
use domain::user_id::UserId;
use domain::violation::{Location, Violation};
use platform::call::Call;
use platform::configuration;
use platform::database::Database;
use platform::http::{Request, Response};
use platform::outbox::{Emitted, EventDraft};
use platform::problem::Problem;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::Answer;
use crate::tasks::{Changed, json_body, refusal, spelled};

/// What the function returns.
#[derive(Deserialize)]
struct Batch {
    /// The result of each operation that was run.
    answers: Vec<Changed>,
    emitted: Option<Emitted>,
}

/// Runs operations, each with its own result.
pub(crate) async fn change(request: Request, user: &UserId) -> Result<Answer, Problem> {
    if request.has_header("idempotency-key") {
        // A key that is ignored would be a broken promise.
        let location = Location::Header("Idempotency-Key");
        let detail = "belongs into each create, as idempotency_key".to_owned();
        return Err(Problem::invalid(vec![Violation { location, detail }]));
    }
    let trace = request.traceparent();
    let operations = parse_batch(json_body(request).await?)?;
    let valid: Vec<&Operation> = operations.iter().flatten().collect();
    let sidecar = configuration::variable("sidecar_name")?;
    let draft = EventDraft::new(&sidecar).traced(trace.as_deref());
    let batch = if valid.is_empty() {
        Batch {
            answers: Vec::new(),
            emitted: None,
        }
    } else {
        let arguments: Vec<String> = valid.into_iter().map(argument).collect::<Result<_, _>>()?;
        let call = Call::of("change_tasks")
            .text("user_id", user.as_str())
            .json("operations", format!("[{}]", arguments.join(",")))
            .json("outbox", draft.json());
        Database::from_configuration()?.call(call)?
    };
    let mut answers = batch.answers.into_iter();
    let mut results = Vec::with_capacity(operations.len());
    for (number, operation) in operations.into_iter().enumerate() {
        results.push(match operation {
            Err(violations) => refused(&Problem::invalid(violations)),
            Ok(operation) => {
                let answer = answers
                    .next()
                    .ok_or_else(|| Problem::internal("an operation without an answer"))?;
                result(number, &operation, answer)?
            }
        });
    }
    Ok(Answer {
        response: Response::json(200, format!("{{\"results\":[{}]}}", results.join(","))),
        publishing: batch.emitted.and_then(|emitted| draft.publishing(emitted)),
    })
}

/// An operation as the database gets it.
fn argument(operation: &Operation) -> Result<String, Problem> {
    let event_id = Uuid::now_v7();
    Ok(match operation {
        Operation::Create { task, key } => {
            let (_, hash) = spelled(task)?;
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({
                "op": CREATE,
                "event_id": event_id,
                "task_id": Uuid::now_v7(),
                "fields": task,
                "key": key.as_ref().map(IdempotencyKey::as_str),
                "request_hash": hash,
            })
        }
        Operation::Update {
            task,
            patch,
            version,
        } => json!({
            "op": UPDATE,
            "event_id": event_id,
            "task_id": task,
            "patch": patch.values(),
            "versions": version.map(|version| [version]),
        }),
        Operation::Step {
            step,
            task,
            version,
        } => json!({
            "op": step.as_str(),
            "event_id": event_id,
            "task_id": task,
            "versions": version.map(|version| [version]),
        }),
    }
    .to_string())
}

/// The client's result of an operation that was run.
fn result(number: usize, operation: &Operation, mut answer: Changed) -> Result<String, Problem> {
    answer.take_emitted()?;
    if let Some(problem) = refusal(answer.outcome) {
        let place = pointer(number) + subject(operation);
        return Ok(refused(&problem.under(&place)));
    }
    Ok(match (operation, answer.task()) {
        (_, None) => json!({"status": 204}).to_string(),
        (Operation::Create { .. }, Some(task)) => format!("{{\"status\":201,\"task\":{task}}}"),
        (_, Some(task)) => format!("{{\"status\":200,\"task\":{task}}}"),
    })
}

fn refused(problem: &Problem) -> String {
    json!({"status": problem.status(), "problem": problem.details()}).to_string()
}
