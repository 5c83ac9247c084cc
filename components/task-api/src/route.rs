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
    /// `/api/{user_id}/notifications`
    Notifications { user: &'a str },
    /// `/api/{user_id}/notifications/{id}/read`
    ReadNotification {
        user: &'a str,
        notification: Option<Uuid>,
    },
    /// `/api/{user_id}/notifications/read-all`
    ReadNotifications { user: &'a str },
    /// `/api/{user_id}/analytics`
    Analytics { user: &'a str },
    /// `/dapr/subscribe`
    Subscriptions,
    /// `/openapi.json`
    Description,
    /// `/healthz`
    Liveness,
    /// `/readyz`
    Readiness,
    /// `/readyz/deliveries`
    DeliveryReadiness,
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
                task: uuid(task),
            },
            ["api", user, "tasks", task, "complete"] => Self::Complete {
                user,
                task: uuid(task),
            },
            ["api", user, "tasks", task, "reopen"] => Self::Reopen {
                user,
                task: uuid(task),
            },
            ["api", user, "notifications"] => Self::Notifications { user },
            ["api", user, "notifications", "read-all"] => Self::ReadNotifications { user },
            ["api", user, "notifications", id, "read"] => Self::ReadNotification {
                user,
                notification: uuid(id),
            },
            ["api", user, "analytics"] => Self::Analytics { user },
            ["dapr", "subscribe"] => Self::Subscriptions,
            ["openapi.json"] => Self::Description,
            ["healthz"] => Self::Liveness,
            ["readyz"] => Self::Readiness,
            ["readyz", "deliveries"] => Self::DeliveryReadiness,
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
            Self::Notifications { .. } => "/api/{user_id}/notifications",
            Self::ReadNotification { .. } => "/api/{user_id}/notifications/{id}/read",
            Self::ReadNotifications { .. } => "/api/{user_id}/notifications/read-all",
            Self::Analytics { .. } => "/api/{user_id}/analytics",
            Self::Subscriptions => "/dapr/subscribe",
            Self::Description => "/openapi.json",
            Self::Liveness => "/healthz",
            Self::Readiness => "/readyz",
            Self::DeliveryReadiness => "/readyz/deliveries",
            Self::Unknown => "unknown",
        }
    }

    /// The user in the path of a route that is a user's.
    pub(crate) fn user(&self) -> Option<&'a str> {
        match self {
            Self::Tasks { user }
            | Self::Task { user, .. }
            | Self::Complete { user, .. }
            | Self::Reopen { user, .. }
            | Self::Notifications { user }
            | Self::ReadNotification { user, .. }
            | Self::ReadNotifications { user }
            | Self::Analytics { user } => Some(user),
            Self::Subscriptions
            | Self::Description
            | Self::Liveness
            | Self::Readiness
            | Self::DeliveryReadiness
            | Self::Unknown => None,
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

/// A UUID in its usual form; the other forms that the parser accepts would give one thing several paths.
fn uuid(segment: &str) -> Option<Uuid> {
    Uuid::parse_str(segment)
        .ok()
        .filter(|_| segment.len() == 36)
}
