//! The routes: which operation a request asks for. The description is made of the same table.

use domain::user_id::UserId;
use platform::http::method_name;
use platform::problem::Problem;
use spin_sdk::http::Method;
use uuid::Uuid;

/// What an operator can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    ReadOverview,
    ListLanes,
    ReadLane,
    RetryLane,
    SkipEvent,
    ListDeadLetters,
    ReadDeadLetter,
    ReplayDeadLetter,
    DiscardDeadLetter,
    ReadDescription,
}

/// The list of dead letters.
pub(crate) const LETTERS: &str = "/operator/api/dead-letters";

/// Every path as documented, and what can be asked for there.
pub(crate) static ROUTES: [(&str, Method, Operation); 10] = [
    (
        "/operator/api/overview",
        Method::Get,
        Operation::ReadOverview,
    ),
    ("/operator/api/lanes", Method::Get, Operation::ListLanes),
    (
        "/operator/api/lanes/{user_id}",
        Method::Get,
        Operation::ReadLane,
    ),
    (
        "/operator/api/lanes/{user_id}/retry",
        Method::Post,
        Operation::RetryLane,
    ),
    (
        "/operator/api/lanes/{user_id}/skip",
        Method::Post,
        Operation::SkipEvent,
    ),
    (LETTERS, Method::Get, Operation::ListDeadLetters),
    (
        "/operator/api/dead-letters/{id}",
        Method::Get,
        Operation::ReadDeadLetter,
    ),
    (
        "/operator/api/dead-letters/{id}/replay",
        Method::Post,
        Operation::ReplayDeadLetter,
    ),
    (
        "/operator/api/dead-letters/{id}/discard",
        Method::Post,
        Operation::DiscardDeadLetter,
    ),
    (
        "/operator/api/openapi.json",
        Method::Get,
        Operation::ReadDescription,
    ),
];

/// A route with the value in its path.
pub(crate) struct Place<'a> {
    route: &'static (&'static str, Method, Operation),
    value: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The route of a path's segments, or none where none fits.
    pub(crate) fn find(path: &'a [String]) -> Option<Self> {
        ROUTES.iter().find_map(|route| {
            let segments: Vec<&str> = route.0.split('/').skip(1).collect();
            let fits = segments.len() == path.len()
                && segments
                    .iter()
                    .zip(path)
                    .all(|(segment, given)| segment.starts_with('{') || segment == given);
            let variable = segments.iter().position(|segment| segment.starts_with('{'));
            fits.then(|| Self {
                route,
                value: variable.map(|place| path[place].as_str()),
            })
        })
    }

    /// The route as documented, for logs.
    pub(crate) fn template(&self) -> &'static str {
        self.route.0
    }

    /// What this method asks for. No path has two methods.
    ///
    /// # Errors
    ///
    /// 405 when the route has another one.
    pub(crate) fn operation(&self, method: &Method) -> Result<Operation, Problem> {
        let (_, known, operation) = self.route;
        if known == method {
            Ok(*operation)
        } else {
            Err(Problem::method_not_allowed(method_name(known)))
        }
    }

    /// The user in the path.
    ///
    /// # Errors
    ///
    /// 404 when it is none.
    pub(crate) fn user(&self) -> Result<UserId, Problem> {
        let user = self.value.unwrap_or_default().to_owned();
        UserId::try_from(user).map_err(|_| Problem::not_found("There is no such user."))
    }

    /// The dead letter in the path.
    ///
    /// # Errors
    ///
    /// 404 when it is no UUID in its usual form.
    pub(crate) fn letter(&self) -> Result<Uuid, Problem> {
        let id = self.value.unwrap_or_default();
        Uuid::parse_str(id)
            .ok()
            .filter(|letter| letter.to_string() == id)
            .ok_or_else(|| Problem::not_found("There is no such dead letter."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_path() {
        for (template, method, operation) in &ROUTES {
            let path: Vec<String> = template.split('/').skip(1).map(str::to_owned).collect();
            let place = Place::find(&path).unwrap();
            assert_eq!(place.template(), *template);
            assert_eq!(place.operation(method).ok(), Some(*operation));
            assert_eq!(place.operation(&Method::Put).unwrap_err().status(), 405);
        }
        for path in [
            "/operator/api",
            "/operator/api/",
            "/operator/api/dead-letters/x/replay/y",
            "/api/operator/overview",
        ] {
            let path: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
            assert!(Place::find(&path).is_none(), "{path:?}");
        }
    }
}
