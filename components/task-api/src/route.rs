//! Which route a path belongs to.

use uuid::Uuid;

/// A route with the values in its path. A task's id that is no UUID is nobody's task.
pub(crate) enum Route<'a> {
    /// `/api/{user_id}/tasks`
    Tasks { user: &'a str },
    /// `/api/{user_id}/tasks/{task_id}`
    Task { user: &'a str, task: Option<Uuid> },
    /// `/api/{user_id}/tasks/{task_id}/complete`
    Complete { user: &'a str, task: Option<Uuid> },
    /// `/api/{user_id}/tasks/{task_id}/reopen`
    Reopen { user: &'a str, task: Option<Uuid> },
    /// `/dapr/subscribe`
    Subscriptions,
    /// `/healthz`
    Liveness,
    /// `/readyz`
    Readiness,
    /// Any other path.
    Unknown,
}

impl<'a> Route<'a> {
    /// The route of a path's segments.
    pub(crate) fn find(segments: &'a [String]) -> Self {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["api", user, "tasks"] => Self::Tasks { user },
            ["api", user, "tasks", task] => Self::Task {
                user,
                task: task_id(task),
            },
            ["api", user, "tasks", task, "complete"] => Self::Complete {
                user,
                task: task_id(task),
            },
            ["api", user, "tasks", task, "reopen"] => Self::Reopen {
                user,
                task: task_id(task),
            },
            ["dapr", "subscribe"] => Self::Subscriptions,
            ["healthz"] => Self::Liveness,
            ["readyz"] => Self::Readiness,
            _ => Self::Unknown,
        }
    }

    /// The route as documented, for logs.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::Tasks { .. } => "/api/{user_id}/tasks",
            Self::Task { .. } => "/api/{user_id}/tasks/{task_id}",
            Self::Complete { .. } => "/api/{user_id}/tasks/{task_id}/complete",
            Self::Reopen { .. } => "/api/{user_id}/tasks/{task_id}/reopen",
            Self::Subscriptions => "/dapr/subscribe",
            Self::Liveness => "/healthz",
            Self::Readiness => "/readyz",
            Self::Unknown => "unknown",
        }
    }

    /// The task in the path.
    pub(crate) fn task(&self) -> Option<Uuid> {
        match self {
            Self::Task { task, .. } | Self::Complete { task, .. } | Self::Reopen { task, .. } => {
                *task
            }
            _ => None,
        }
    }
}

/// A UUID in its usual form; the other forms that the parser accepts would give one task several paths.
fn task_id(segment: &str) -> Option<Uuid> {
    Uuid::parse_str(segment)
        .ok()
        .filter(|_| segment.len() == 36)
}
