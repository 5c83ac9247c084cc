//! The routes: which operation a request asks for. The API's description is made of the same table.

use platform::http::method_name;
use platform::problem::Problem;
use spin_sdk::http::Method;
use uuid::Uuid;

/// The operations on a user's things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserOperation {
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
    ReadChanges,
}

/// The operations that need no user's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceOperation {
    ReadCalendar,
    Subscriptions,
    Description,
    EventsDescription,
    DataSchema,
    Liveness,
    Readiness,
    DeliveryReadiness,
}

/// A path and its operations.
pub(crate) struct Route<O: 'static> {
    /// The path as documented; the variable parts have their names in braces.
    pub(crate) template: &'static str,
    pub(crate) operations: &'static [(Method, O)],
}

/// Every route of a user. If a path fits two routes, the first one counts.
pub(crate) static USER_ROUTES: [Route<UserOperation>; 13] = [
    Route {
        template: "/api/{user_id}/tasks",
        operations: &[
            (Method::Get, UserOperation::ListTasks),
            (Method::Post, UserOperation::CreateTask),
        ],
    },
    // Before the route of a task, whose id is never this word.
    Route {
        template: "/api/{user_id}/tasks/batch",
        operations: &[(Method::Post, UserOperation::ChangeTasks)],
    },
    Route {
        template: "/api/{user_id}/tasks/{task_id}",
        operations: &[
            (Method::Get, UserOperation::ReadTask),
            (Method::Patch, UserOperation::UpdateTask),
            (Method::Delete, UserOperation::DeleteTask),
        ],
    },
    Route {
        template: "/api/{user_id}/tasks/{task_id}/complete",
        operations: &[(Method::Post, UserOperation::CompleteTask)],
    },
    Route {
        template: "/api/{user_id}/tasks/{task_id}/reopen",
        operations: &[(Method::Post, UserOperation::ReopenTask)],
    },
    Route {
        template: "/api/{user_id}/tasks/{task_id}/skip",
        operations: &[(Method::Post, UserOperation::SkipTask)],
    },
    Route {
        template: "/api/{user_id}/notifications",
        operations: &[(Method::Get, UserOperation::ListNotifications)],
    },
    Route {
        template: "/api/{user_id}/notifications/{id}/read",
        operations: &[(Method::Post, UserOperation::ReadNotification)],
    },
    Route {
        template: "/api/{user_id}/notifications/{id}/snooze",
        operations: &[(Method::Post, UserOperation::SnoozeNotification)],
    },
    Route {
        template: "/api/{user_id}/notifications/read-all",
        operations: &[(Method::Post, UserOperation::ReadNotifications)],
    },
    Route {
        template: "/api/{user_id}/analytics",
        operations: &[(Method::Get, UserOperation::ReadAnalytics)],
    },
    Route {
        template: "/api/{user_id}/calendar",
        operations: &[
            (Method::Post, UserOperation::CreateCalendar),
            (Method::Delete, UserOperation::RevokeCalendar),
        ],
    },
    Route {
        template: "/api/{user_id}/changes",
        operations: &[(Method::Get, UserOperation::ReadChanges)],
    },
];

/// Every route that is not a user's. No path fits one of these and a user's route.
pub(crate) static SERVICE_ROUTES: [Route<ServiceOperation>; 8] = [
    Route {
        template: "/calendar/{secret}.ics",
        operations: &[(Method::Get, ServiceOperation::ReadCalendar)],
    },
    Route {
        template: "/dapr/subscribe",
        operations: &[(Method::Get, ServiceOperation::Subscriptions)],
    },
    Route {
        template: "/openapi.json",
        operations: &[(Method::Get, ServiceOperation::Description)],
    },
    Route {
        template: "/asyncapi.json",
        operations: &[(Method::Get, ServiceOperation::EventsDescription)],
    },
    Route {
        template: "/schemas/{dataschema}",
        operations: &[(Method::Get, ServiceOperation::DataSchema)],
    },
    Route {
        template: "/healthz",
        operations: &[(Method::Get, ServiceOperation::Liveness)],
    },
    Route {
        template: "/readyz",
        operations: &[(Method::Get, ServiceOperation::Readiness)],
    },
    Route {
        template: "/readyz/deliveries",
        operations: &[(Method::Get, ServiceOperation::DeliveryReadiness)],
    },
];

impl<O> Route<O> {
    fn segments(&self) -> impl Iterator<Item = &'static str> + use<O> {
        self.template.split('/').skip(1)
    }

    /// The names of the variable parts of the path.
    #[cfg(test)]
    pub(crate) fn variables(&self) -> impl Iterator<Item = &'static str> + use<O> {
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

/// The name of the variable part of a segment, and the fixed text after it.
fn variable(segment: &'static str) -> Option<(&'static str, &'static str)> {
    segment.strip_prefix('{')?.split_once('}')
}

/// What a path leads to.
pub(crate) enum Target<'a> {
    /// A user's route. `user` is the user in the path, who must be the user of the token.
    User {
        user: &'a str,
        place: Place<'a, UserOperation>,
    },
    /// A route that is not a user's.
    Service(Place<'a, ServiceOperation>),
}

impl<'a> Target<'a> {
    /// The target of a path; `None` if no route fits.
    pub(crate) fn find(path: &'a [String]) -> Option<Self> {
        if let Some(place) = Place::find(&USER_ROUTES, path)
            && let Some(user) = place.value("user_id")
        {
            return Some(Self::User { user, place });
        }
        Place::find(&SERVICE_ROUTES, path).map(Self::Service)
    }

    /// The route as documented, for logs.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::User { place, .. } => place.route.template,
            Self::Service(place) => place.route.template,
        }
    }
}

/// A route with the values in its path.
pub(crate) struct Place<'a, O: 'static> {
    route: &'static Route<O>,
    path: &'a [String],
}

impl<'a, O: Copy> Place<'a, O> {
    fn find(routes: &'static [Route<O>], path: &'a [String]) -> Option<Self> {
        let route = routes.iter().find(|route| route.fits(path))?;
        Some(Self { route, path })
    }

    /// The operation of this method.
    ///
    /// # Errors
    ///
    /// 405 when the route does not have this method.
    pub(crate) fn operation(&self, method: &Method) -> Result<O, Problem> {
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

    fn value(&self, name: &str) -> Option<&'a str> {
        let mut segments = self.route.segments().zip(self.path);
        segments.find_map(|(segment, given)| match variable(segment) {
            Some((variable, end)) if variable == name => given.strip_suffix(end),
            _ => None,
        })
    }
}

impl<'a> Place<'a, UserOperation> {
    /// The `{task_id}` segment. `None` if the route has none, or the segment is not a UUID: there is no such task.
    pub(crate) fn task(&self) -> Option<Uuid> {
        self.value("task_id").and_then(uuid)
    }

    /// The `{id}` segment of a notification, in the same way.
    pub(crate) fn notification(&self) -> Option<Uuid> {
        self.value("id").and_then(uuid)
    }
}

impl<'a> Place<'a, ServiceOperation> {
    /// The secret of a calendar in the path. It must never be logged.
    pub(crate) fn secret(&self) -> Option<&'a str> {
        self.value("secret")
    }

    /// The attribute `dataschema` in the path.
    pub(crate) fn data_schema(&self) -> Option<&'a str> {
        self.value("dataschema")
    }
}

/// A UUID in its usual form. The parser accepts other forms too, but then one thing would have several paths.
fn uuid(segment: &str) -> Option<Uuid> {
    Uuid::parse_str(segment)
        .ok()
        .filter(|_| segment.len() == 36)
}

#[cfg(test)]
mod tests {
    use super::{Route, SERVICE_ROUTES, Target, USER_ROUTES};

    fn path<O>(route: &Route<O>) -> Vec<String> {
        route.segments().map(str::to_owned).collect()
    }

    #[test]
    fn every_route_is_found_by_its_path() {
        for route in &USER_ROUTES {
            let path = path(route);
            let Some(Target::User { user, place }) = Target::find(&path) else {
                panic!("{path:?}");
            };
            assert_eq!((user, place.route.template), ("{user_id}", route.template));
        }
        for route in &SERVICE_ROUTES {
            let path = path(route);
            let Some(Target::Service(place)) = Target::find(&path) else {
                panic!("{path:?}");
            };
            assert_eq!(place.route.template, route.template);
        }
    }

    #[test]
    fn a_path_with_an_id_that_is_no_uuid_has_no_task() {
        let find = |id: &str| {
            let path = ["api", "alice", "tasks", id].map(str::to_owned);
            match Target::find(&path) {
                Some(Target::User { place, .. }) => place.task(),
                _ => panic!("{path:?}"),
            }
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
