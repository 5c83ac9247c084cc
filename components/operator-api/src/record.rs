//! The line that says who did what: one for each attempt, whatever became of it.

use domain::user_id::UserId;
use platform::log::{self, Level};
use platform::problem::Problem;
use serde_json::{Value, json};

use crate::COMPONENT;

/// What an operator is about to do.
pub(crate) struct Action {
    fields: Value,
}

impl Action {
    pub(crate) fn new(name: &str, operator: &UserId) -> Self {
        Self {
            fields: json!({"action": name, "operator": operator.as_str()}),
        }
    }

    /// With an id of what it is about.
    pub(crate) fn about(mut self, name: &str, id: impl Into<Value>) -> Self {
        self.fields[name] = id.into();
        self
    }

    /// Writes the line.
    pub(crate) fn done(mut self, outcome: &str) {
        self.fields["outcome"] = json!(outcome);
        log::line(Level::Info, COMPONENT, "operator action", self.fields);
    }

    /// Writes the line of one that did not happen, or of which that is not known.
    pub(crate) fn failed(mut self, problem: Problem) -> Problem {
        if let Some(cause) = problem.cause() {
            self.fields["error"] = json!(cause);
        }
        self.done(if problem.status() < 500 {
            "refused"
        } else {
            "failed"
        });
        problem
    }
}
