//! Which trigger answers a path, and what its component is told about the match.
//!
//! Precedence is `routefinder`'s, the library that Spin uses: at the first differing segment, exact text beats `:name`,
//! which beats `...`.

use std::net::SocketAddr;

use anyhow::{Result, anyhow, ensure};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use indexmap::IndexMap;

use crate::manifest::{HttpTrigger, Route};

/// The public routes of an application.
pub struct Routes(routefinder::Router<Entry>);

#[derive(Debug)]
struct Entry {
    /// Position of the trigger in the manifest.
    trigger: usize,
    /// As written.
    pattern: String,
    /// As written, with a leading and without a trailing slash.
    normalized: String,
}

/// A path matched by a route, or addressed by another component.
#[derive(Debug)]
pub struct RouteMatch<'a> {
    /// Position of the trigger in the manifest.
    pub trigger: usize,
    pattern: &'a str,
    normalized: &'a str,
    captures: Vec<(String, String)>,
    rest: String,
}

impl Routes {
    /// Builds the table. A pattern given twice belongs to the last trigger that has it; private routes are left out.
    pub fn new(triggers: &[HttpTrigger]) -> Result<Self> {
        let mut patterns: IndexMap<&str, usize> = IndexMap::new();
        for (position, trigger) in triggers.iter().enumerate() {
            match &trigger.route {
                Route::Private(route) => ensure!(
                    route.private,
                    "trigger {}: a route is a pattern or private",
                    trigger.id
                ),
                Route::Pattern(pattern) => {
                    if let Some(hidden) = patterns.insert(pattern, position) {
                        eprintln!(
                            "Route {pattern} of trigger {} is hidden by trigger {}",
                            triggers[hidden].id, trigger.id
                        );
                    }
                }
            }
        }
        let mut router = routefinder::Router::new();
        for (pattern, trigger) in patterns {
            let absolute = if pattern.starts_with('/') {
                pattern.to_owned()
            } else {
                format!("/{pattern}")
            };
            let normalized = absolute.strip_suffix('/').unwrap_or(&absolute).to_owned();
            let spec = match normalized.strip_suffix("/...") {
                Some(prefix) => format!("{prefix}/*"),
                None => normalized.clone(),
            };
            let entry = Entry {
                trigger,
                pattern: pattern.to_owned(),
                normalized,
            };
            router
                .add(spec, entry)
                .map_err(|error| anyhow!("route {pattern}: {error}"))?;
        }
        Ok(Self(router))
    }

    /// The best match for a request's path, which is not percent-decoded.
    pub fn find<'a>(&'a self, path: &'a str) -> Option<RouteMatch<'a>> {
        let found = self.0.best_match(path)?;
        let entry = found.handler();
        let captures = found.captures();
        // The library drops slashes at the end of what `...` matched; components are given them.
        let rest = captures.wildcard().map_or_else(String::new, |rest| {
            let (before, after) = (
                if rest.is_empty() { "" } else { "/" },
                if path.ends_with('/') { "/" } else { "" },
            );
            format!("{before}{rest}{after}")
        });
        Some(RouteMatch {
            trigger: entry.trigger,
            pattern: &entry.pattern,
            normalized: &entry.normalized,
            captures: captures
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            rest,
        })
    }

    /// Each route as it is shown to people, with its trigger's position, in order of precedence.
    pub fn shown(&self) -> impl Iterator<Item = (String, usize)> {
        self.0.iter().map(|(_, entry)| {
            let wildcard = entry
                .normalized
                .strip_suffix("/...")
                .or_else(|| entry.normalized.strip_suffix("/*"));
            let shown = wildcard.map_or_else(
                || entry.normalized.clone(),
                |prefix| format!("{prefix} (wildcard)"),
            );
            (shown, entry.trigger)
        })
    }
}

impl<'a> RouteMatch<'a> {
    /// What a component sees that another one calls: everything below `/...`.
    pub fn chained(trigger: usize, path: &str) -> RouteMatch<'a> {
        RouteMatch {
            trigger,
            pattern: "/...",
            normalized: "/...",
            captures: Vec::new(),
            rest: path.to_owned(),
        }
    }

    /// The headers that tell a component about the match, in the order in which Spin appends them.
    pub fn headers(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        client: SocketAddr,
    ) -> Result<Vec<(HeaderName, HeaderValue)>> {
        let host = headers
            .get(http::header::HOST)
            .map_or(Ok("localhost"), |host| std::str::from_utf8(host.as_bytes()))?;
        let scheme = uri.scheme_str().unwrap_or("http");
        let path_and_query = uri.path_and_query().map_or("", |path| path.as_str());
        let client = client.to_string();
        let full_url = format!("{scheme}://{host}{path_and_query}");
        let fixed = [
            ("spin-path-info", self.rest.as_str()),
            ("spin-full-url", &full_url),
            ("spin-matched-route", self.normalized),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", self.pattern),
            (
                "spin-component-route",
                self.pattern.strip_suffix("/...").unwrap_or(self.pattern),
            ),
            ("spin-client-addr", &client),
        ];
        let mut described: Vec<_> = fixed
            .into_iter()
            .filter_map(|(name, value)| {
                Some((
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value.as_bytes()).ok()?,
                ))
            })
            .collect();
        described.extend(self.captures.iter().filter_map(|(name, value)| {
            let name = format!(
                "spin-path-match-{}",
                name.replace('_', "-").to_ascii_lowercase()
            );
            Some((
                name.parse().ok()?,
                HeaderValue::from_bytes(value.as_bytes()).ok()?,
            ))
        }));
        Ok(described)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[&str]) -> Routes {
        let triggers: Vec<HttpTrigger> = patterns
            .iter()
            .map(|pattern| {
                toml::from_str(&format!("component = 'c'\nroute = '{pattern}'")).unwrap()
            })
            .collect();
        Routes::new(&triggers).unwrap()
    }

    fn header(routes: &Routes, path: &str, name: &str) -> Option<String> {
        let uri: Uri = format!("http://h:1{path}?q=1").parse().unwrap();
        let client = "127.0.0.1:9".parse().unwrap();
        let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("h:1"))]);
        let found = routes
            .find(uri.path())?
            .headers(&uri, &headers, client)
            .unwrap();
        let value = found
            .into_iter()
            .find(|(header, _)| header.as_str() == name)?
            .1;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn exact_beats_parameter_beats_wildcard() {
        let routes = routes(&[
            "/...",
            "/api/:user_id/tasks/...",
            "/api/events/tasks",
            "/api/events/...",
        ]);
        for (path, trigger) in [
            ("/api/events/tasks", 2),
            ("/api/events/other", 3),
            ("/api/someone/tasks", 1),
            ("/api/someone/tasks/7/complete", 1),
            ("/api/someone", 0),
            ("/", 0),
        ] {
            assert_eq!(routes.find(path).unwrap().trigger, trigger, "{path}");
        }
    }

    #[test]
    fn a_path_without_a_route_matches_none() {
        let routes = routes(&["/a", "/b/:id"]);
        assert!(routes.find("/").is_none());
        assert!(routes.find("/a/b").is_none());
        assert!(routes.find("/b/1/2").is_none());
    }

    #[test]
    fn the_headers_describe_the_match() {
        let routes = routes(&["/api/:user_id/tasks/..."]);
        let path = "/api/a%2Fb/tasks/7/";
        for (name, value) in [
            ("spin-path-match-user-id", "a%2Fb"),
            ("spin-path-info", "/7/"),
            ("spin-full-url", "http://h:1/api/a%2Fb/tasks/7/?q=1"),
            ("spin-matched-route", "/api/:user_id/tasks/..."),
            ("spin-component-route", "/api/:user_id/tasks"),
            ("spin-raw-component-route", "/api/:user_id/tasks/..."),
            ("spin-base-path", "/"),
            ("spin-client-addr", "127.0.0.1:9"),
        ] {
            assert_eq!(
                header(&routes, path, name).as_deref(),
                Some(value),
                "{name}"
            );
        }
        assert_eq!(
            header(&routes, "/api/x/tasks", "spin-path-info").as_deref(),
            Some("")
        );
        assert_eq!(
            header(&routes, "/api/x/tasks/", "spin-path-info").as_deref(),
            Some("/")
        );
    }

    #[test]
    fn the_last_of_equal_routes_counts() {
        assert_eq!(routes(&["/a", "/a"]).find("/a").unwrap().trigger, 1);
    }
}
