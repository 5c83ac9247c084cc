//! The routes: which operation a request asks for. The API's description is made of the same table.

use platform::http::method_name;
use platform::problem::Problem;
use spin_sdk::http::Method;
use uuid::Uuid;

/// What a request can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    ListTasks,
    CreateTask,
    ChangeTasks,
    ReadTask,
    UpdateTask,
    DeleteTask,
    CompleteTask,
    ReopenTask,
    SkipTask,
    ListNotifications,
    ReadNotification,
    SnoozeNotification,
    ReadNotifications,
    ReadAnalytics,
    CreateCalendar,
    RevokeCalendar,
    ReadCalendar,
    ReadChanges,
    Subscriptions,
    Description,
    EventsDescription,
    DataSchema,
    Liveness,
    Readiness,
    DeliveryReadiness,
}

/// A path and what can be asked for there.
pub(crate) struct Route {
    /// The path as documented; in braces the names of what varies.
    pub(crate) template: &'static str,
    pub(crate) operations: &'static [(Method, Operation)],
}

/// Every route. A path that fits two of them is the first one's.
pub(crate) static ROUTES: [Route; 21] = [
    Route {
        template: "/api/{user_id}/tasks",
        operations: &[
            (Method::Get, Operation::ListTasks),
            (Method::Post, Operation::CreateTask),
        ],
    },
    // Before that of a task, whose id is never this word.
    Route {
        template: "/api/{user_id}/tasks/batch",
        operations: &[(Method::Post, Operation::ChangeTasks)],
    },
    Route {
        template: "/api/{user_id}/tasks/{task_id}",
        operations: &[
            (Method::Get, Operation::ReadTask),
            (Method::Patch, Operation::UpdateTask),
            (Method::Delete, Operation::DeleteTask),
        ],
    },
    Route {
        template: "/api/{user_id}/tasks/{task_id}/complete",
        operations: &[(Method::Post, Operation::CompleteTask)],
    },
    Route {
        template: "/api/{user_id}/tasks/{task_id}/reopen",
        operations: &[(Method::Post, Operation::ReopenTask)],
    },
    Route {
        template: "/api/{user_id}/tasks/{task_id}/skip",
        operations: &[(Method::Post, Operation::SkipTask)],
    },
    Route {
        template: "/api/{user_id}/notifications",
        operations: &[(Method::Get, Operation::ListNotifications)],
    },
    Route {
        template: "/api/{user_id}/notifications/{id}/read",
        operations: &[(Method::Post, Operation::ReadNotification)],
    },
    Route {
        template: "/api/{user_id}/notifications/{id}/snooze",
        operations: &[(Method::Post, Operation::SnoozeNotification)],
    },
    Route {
        template: "/api/{user_id}/notifications/read-all",
        operations: &[(Method::Post, Operation::ReadNotifications)],
    },
    Route {
        template: "/api/{user_id}/analytics",
        operations: &[(Method::Get, Operation::ReadAnalytics)],
    },
    Route {
        template: "/api/{user_id}/calendar",
        operations: &[
            (Method::Post, Operation::CreateCalendar),
            (Method::Delete, Operation::RevokeCalendar),
        ],
    },
    Route {
        template: "/calendar/{secret}.ics",
        operations: &[(Method::Get, Operation::ReadCalendar)],
    },
    Route {
        template: "/api/{user_id}/changes",
        operations: &[(Method::Get, Operation::ReadChanges)],
    },
    Route {
        template: "/dapr/subscribe",
        operations: &[(Method::Get, Operation::Subscriptions)],
    },
    Route {
        template: "/openapi.json",
        operations: &[(Method::Get, Operation::Description)],
    },
    Route {
        template: "/asyncapi.json",
        operations: &[(Method::Get, Operation::EventsDescription)],
    },
    Route {
        template: "/schemas/{dataschema}",
        operations: &[(Method::Get, Operation::DataSchema)],
    },
    Route {
        template: "/healthz",
        operations: &[(Method::Get, Operation::Liveness)],
    },
    Route {
        template: "/readyz",
        operations: &[(Method::Get, Operation::Readiness)],
    },
    Route {
        template: "/readyz/deliveries",
        operations: &[(Method::Get, Operation::DeliveryReadiness)],
    },
];

impl Route {
    fn segments(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.template.split('/').skip(1)
    }

    /// The names of what varies in the path.
    #[cfg(test)]
    pub(crate) fn variables(&self) -> impl Iterator<Item = &'static str> + use<> {
        let name = |segment| Some(variable(segment)?.0);
        self.segments().filter_map(name)
    }

    fn fits(&self, path: &[String]) -> bool {
        self.segments().count() == path.len()
            && self
                .segments()
                .zip(path)
                .all(|(segment, given)| match variable(segment) {
                    Some((_, end)) => given.ends_with(end),
                    None => segment == given,
                })
    }
}

/// The name of what varies in a segment, and what the segment ends with.
fn variable(segment: &'static str) -> Option<(&'static str, &'static str)> {
    segment.strip_prefix('{')?.split_once('}')
}

/// A route with the values in its path.
pub(crate) struct Target<'a> {
    route: &'static Route,
    path: &'a [String],
}

impl<'a> Target<'a> {
    /// The target of a path's segments, or none where no route fits.
    pub(crate) fn find(path: &'a [String]) -> Option<Self> {
        let route = ROUTES.iter().find(|route| route.fits(path))?;
        Some(Self { route, path })
    }

    /// The route as documented, for logs.
    pub(crate) fn template(&self) -> &'static str {
        self.route.template
    }

    /// What this method asks for.
    ///
    /// # Errors
    ///
    /// 405 when the route has other methods.
    pub(crate) fn operation(&self, method: &Method) -> Result<Operation, Problem> {
        let operations = self.route.operations;
        let found = operations.iter().find(|(known, _)| known == method);
        found.map(|(_, operation)| *operation).ok_or_else(|| {
            let allowed: Vec<String> = operations
                .iter()
                .map(|(name, _)| method_name(name))
                .collect();
            Problem::method_not_allowed(allowed.join(", "))
        })
    }

    /// The user whose route it is, where it is one's.
    pub(crate) fn user(&self) -> Option<&'a str> {
        self.value("user_id")
    }

    /// The task in the path. An id that is no UUID is nobody's task.
    pub(crate) fn task(&self) -> Option<Uuid> {
        self.value("task_id").and_then(uuid)
    }

    /// The notification in the path. An id that is no UUID is nobody's notification.
    pub(crate) fn notification(&self) -> Option<Uuid> {
        self.value("id").and_then(uuid)
    }

    /// The secret of a calendar in the path. Never to be logged.
    pub(crate) fn secret(&self) -> Option<&'a str> {
        self.value("secret")
    }

    /// The attribute `dataschema` in the path.
    pub(crate) fn data_schema(&self) -> Option<&'a str> {
        self.value("dataschema")
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let mut segments = self.route.segments().zip(self.path);
        segments.find_map(|(segment, given)| match variable(segment) {
            Some((variable, end)) if variable == name => given.strip_suffix(end),
            _ => None,
        })
    }
}

/// A UUID in its usual form; the other forms that the parser accepts would give one thing several paths.
fn uuid(segment: &str) -> Option<Uuid> {
    Uuid::parse_str(segment)
        .ok()
        .filter(|_| segment.len() == 36)
}

#[cfg(test)]
mod tests {
    use super::{ROUTES, Target};

    #[test]
    fn every_route_is_found_by_its_path() {
        for route in &ROUTES {
            let path: Vec<String> = route.segments().map(str::to_owned).collect();
            let found = Target::find(&path).map(|target| target.template());
            assert_eq!(found, Some(route.template));
        }
    }

    #[test]
    fn an_id_that_is_no_uuid_is_nobodys() {
        let find = |id: &str| {
            let path = ["api", "alice", "tasks", id].map(str::to_owned);
            Target::find(&path).and_then(|target| target.task())
        };
        assert!(find("018f0000-0000-7000-8000-000000000000").is_some());
        for id in [
            "x",
            "018f0000000070008000000000000000",
            "{018f0000-0000-7000-8000-000000000000}",
        ] {
            assert_eq!(find(id), None, "{id}");
        }
    }
}
