//! Many operations on tasks in one request.
//!
//! An invalid operation is refused alone, like an operation that the state of a task forbids: one thing that a person
//! typed while offline must not hold up the rest. The body is refused as a whole only if it is not a list of
//! operations.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::idempotency_key::IdempotencyKey;
use crate::task_fields::{NewTask, TaskPatch, parse_new_task, parse_task_patch};
use crate::violation::{MOST_VIOLATIONS, Violation};

/// How many operations a request may have.
pub const MOST_OPERATIONS: usize = 100;

/// An operation, valid in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Creates a task.
    Create {
        /// The task.
        task: Box<NewTask>,
        /// The client's name for this create.
        key: Option<IdempotencyKey>,
    },
    /// Changes fields of a task.
    Update {
        /// The task.
        task: Uuid,
        /// What changes.
        patch: TaskPatch,
        /// The version that the task must be at.
        version: Option<i64>,
    },
    /// Does something that needs only the task.
    Step {
        /// What.
        step: Step,
        /// The task.
        task: Uuid,
        /// The version that the task must be at.
        version: Option<i64>,
    },
}

/// The operations that need only the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Completes it.
    Complete,
    /// Makes it pending again.
    Reopen,
    /// Ends it without completing it; the next instance follows.
    Skip,
    /// Deletes it.
    Delete,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 4] = [Self::Complete, Self::Reopen, Self::Skip, Self::Delete];

    /// Its value of `op`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Reopen => "reopen",
            Self::Skip => "skip",
            Self::Delete => "delete",
        }
    }
}

/// The value of `op` that creates a task.
pub const CREATE: &str = "create";

/// The value of `op` that changes a task.
pub const UPDATE: &str = "update";

/// Every value of `op`.
pub fn names() -> impl Iterator<Item = &'static str> {
    [CREATE, UPDATE]
        .into_iter()
        .chain(Step::ALL.map(Step::as_str))
}

/// Parses the body of a batch. Each operation is parsed, or has its violations.
///
/// # Errors
///
/// The violations of a body that is not a list of 1 to [`MOST_OPERATIONS`] operations.
pub fn parse_batch(body: Value) -> Result<Vec<Result<Operation, Vec<Violation>>>, Vec<Violation>> {
    let Value::Object(mut members) = body else {
        return Err(vec![Violation::pointer("", "must be a JSON object")]);
    };
    let operations = match members.remove("operations") {
        Some(Value::Array(operations)) if (1..=MOST_OPERATIONS).contains(&operations.len()) => {
            Ok(operations)
        }
        Some(_) => Err(format!(
            "must be a list of 1 to {MOST_OPERATIONS} operations"
        )),
        None => Err("is required".to_owned()),
    };
    let mut violations = unknown(members, "", &["operations"]);
    match operations {
        Ok(operations) if violations.is_empty() => {
            let numbered = operations.into_iter().enumerate();
            Ok(numbered
                .map(|(number, operation)| parse_operation(operation, &pointer(number)))
                .collect())
        }
        Ok(_) => Err(violations),
        Err(detail) => {
            violations.insert(0, Violation::field("operations", detail));
            Err(violations)
        }
    }
}

/// The JSON pointer of an operation in the body.
pub fn pointer(number: usize) -> String {
    format!("/operations/{number}")
}

/// The JSON pointer of the member that holds an operation's fields; violations of fields stand under it.
pub fn subject(operation: &Operation) -> &'static str {
    match operation {
        Operation::Create { .. } => "/task",
        Operation::Update { .. } => "/patch",
        Operation::Step { .. } => "",
    }
}

fn parse_operation(operation: Value, place: &str) -> Result<Operation, Vec<Violation>> {
    let Value::Object(mut members) = operation else {
        return Err(vec![Violation::pointer(place, "must be a JSON object")]);
    };
    let Some(kind) = members
        .remove("op")
        .as_ref()
        .and_then(Value::as_str)
        .and_then(Kind::named)
    else {
        let names: Vec<&str> = names().collect();
        let detail = format!("must be one of {}", names.join(", "));
        return Err(vec![Violation::pointer(format!("{place}/op"), detail)]);
    };
    let mut fields = Fields {
        members,
        place,
        violations: Vec::new(),
    };
    let (operation, known): (_, &[&str]) = match kind {
        Kind::Create => {
            let task = fields.part("task", parse_new_task);
            let key = fields.idempotency_key();
            let operation = task.map(|task| Operation::Create {
                task: Box::new(task),
                key,
            });
            (operation, &["op", "task", "idempotency_key"])
        }
        Kind::Update => {
            let (task, version) = (fields.task_id(), fields.version());
            let patch = fields.part("patch", parse_task_patch);
            let operation = task.zip(patch).map(|(task, patch)| Operation::Update {
                task,
                patch,
                version,
            });
            (operation, &["op", "task_id", "version", "patch"])
        }
        Kind::Step(step) => {
            let (task, version) = (fields.task_id(), fields.version());
            let operation = task.map(|task| Operation::Step {
                step,
                task,
                version,
            });
            (operation, &["op", "task_id", "version"])
        }
    };
    fields
        .violations
        .extend(unknown(fields.members, place, known));
    match operation {
        Some(operation) if fields.violations.is_empty() => Ok(operation),
        _ => Err(fields.violations),
    }
}

enum Kind {
    Create,
    Update,
    Step(Step),
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        match name {
            CREATE => Some(Self::Create),
            UPDATE => Some(Self::Update),
            name => Step::ALL
                .into_iter()
                .find(|step| step.as_str() == name)
                .map(Self::Step),
        }
    }
}

/// An operation's members, as they are taken out.
struct Fields<'a> {
    members: Map<String, Value>,
    place: &'a str,
    violations: Vec<Violation>,
}

impl Fields<'_> {
    fn refuse(&mut self, member: &str, detail: impl Into<String>) {
        self.violations.push(Violation::pointer(
            format!("{}/{member}", self.place),
            detail,
        ));
    }

    /// A required member, parsed by `parse`.
    fn part<T>(
        &mut self,
        member: &str,
        parse: fn(Value) -> Result<T, Vec<Violation>>,
    ) -> Option<T> {
        let Some(value) = self.members.remove(member) else {
            self.refuse(member, "is required");
            return None;
        };
        match parse(value) {
            Ok(part) => Some(part),
            Err(violations) => {
                let place = format!("{}/{member}", self.place);
                self.violations.extend(
                    violations
                        .into_iter()
                        .map(|violation| violation.under(&place)),
                );
                None
            }
        }
    }

    fn task_id(&mut self) -> Option<Uuid> {
        let value = self.members.remove("task_id");
        // The parser accepts other forms too, but our ids have only this one.
        let id = value
            .as_ref()
            .and_then(Value::as_str)
            .filter(|text| text.len() == 36);
        let id = id.and_then(|text| Uuid::parse_str(text).ok());
        if id.is_none() {
            self.refuse(
                "task_id",
                if value.is_none() {
                    "is required"
                } else {
                    "must be the id of a task"
                },
            );
        }
        id
    }

    fn version(&mut self) -> Option<i64> {
        match self.members.remove("version") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let version = value.as_i64().filter(|version| *version >= 1);
                if version.is_none() {
                    self.refuse("version", "must be a version of a task, such as 1");
                }
                version
            }
        }
    }

    fn idempotency_key(&mut self) -> Option<IdempotencyKey> {
        let value = match self.members.remove("idempotency_key") {
            None | Some(Value::Null) => return None,
            Some(value) => value,
        };
        match IdempotencyKey::try_from(value.as_str().unwrap_or_default()) {
            Ok(key) => Some(key),
            Err(error) => {
                self.refuse("idempotency_key", error.to_string());
                None
            }
        }
    }
}

/// Unknown members.
fn unknown(members: Map<String, Value>, place: &str, known: &[&str]) -> Vec<Violation> {
    let detail = format!("is unknown; the members are {}", known.join(", "));
    let names = members.keys().take(MOST_VIOLATIONS);
    names
        .map(|name| Violation::field(name, detail.clone()).under(place))
        .collect()
}

#[cfg(test)]
mod tests;
