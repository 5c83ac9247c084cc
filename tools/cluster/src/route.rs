//! The HTTPRoute, read as a gateway reads it. There is no gateway on this cluster: what is shown is what the resource asks of
//! one.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::kubectl::Kubectl;

/// The namespace of the route, and of what it forwards to unless it names another.
const NAMESPACE: &str = "todo-app";

/// The applied route.
pub struct Route {
    rules: Vec<Value>,
}

/// A condition on a request's path.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    Exact(String),
    Prefix(String),
}

impl Match {
    fn of(value: &Value) -> Result<Self> {
        let path = value["path"]["value"]
            .as_str()
            .context("a match has a path")?;
        match value["path"]["type"].as_str() {
            Some("Exact") => Ok(Self::Exact(path.to_owned())),
            Some("PathPrefix") => Ok(Self::Prefix(path.to_owned())),
            other => bail!("not every gateway knows a path of type {other:?}"),
        }
    }

    fn fits(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// An exact path wins, then the longest prefix.
    fn rank(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Prefix(prefix) => prefix.len(),
        }
    }
}

impl Route {
    pub fn read(kubectl: &Kubectl) -> Result<Self> {
        let route = kubectl.json(&["get", "httproute", "todo-events", "-n", NAMESPACE])?;
        let rules = route["spec"]["rules"]
            .as_array()
            .context("the route has no rules")?;
        Ok(Self {
            rules: rules.clone(),
        })
    }

    /// All conditions under which something is forwarded.
    pub fn forwards(&self) -> Result<Vec<Match>> {
        let rules = self
            .rules
            .iter()
            .filter(|rule| rule["backendRefs"][0].is_object());
        rules.flat_map(matches_of).collect()
    }

    /// The condition by which a path is forwarded, and the backend that gets it; `None` where it is not forwarded.
    pub fn backend(&self, path: &str) -> Result<Option<(Match, &Value)>> {
        let mut best: Option<(Match, &Value)> = None;
        for rule in &self.rules {
            for condition in matches_of(rule) {
                let condition = condition?;
                let better = best
                    .as_ref()
                    .is_none_or(|(other, _)| condition.rank() > other.rank());
                if condition.fits(path) && better {
                    best = Some((condition, &rule["backendRefs"]));
                }
            }
        }
        Ok(best
            .map(|(condition, backends)| (condition, &backends[0]))
            .filter(|(_, backend)| backend.is_object()))
    }

    /// Where a gateway sends a path's requests: the address of the Service, at a port that it has.
    pub fn address(&self, path: &str, kubectl: &Kubectl) -> Result<SocketAddr> {
        let (_, backend) = self
            .backend(path)?
            .with_context(|| format!("the route does not forward {path}"))?;
        ensure!(
            backend["kind"].as_str().unwrap_or("Service") == "Service",
            "no Service: {backend}"
        );
        let name = backend["name"].as_str().context("a backend has a name")?;
        let port = backend["port"].as_u64().context("a backend has a port")?;
        let namespace = backend["namespace"].as_str().unwrap_or(NAMESPACE);
        let service = kubectl
            .json(&["get", "service", name, "-n", namespace])
            .with_context(|| format!("the route's backend {backend}"))?;
        let ports = service["spec"]["ports"].as_array();
        ensure!(
            ports
                .into_iter()
                .flatten()
                .any(|known| known["port"] == port),
            "the Service {name} has no port {port}"
        );
        let address = service["spec"]["clusterIP"]
            .as_str()
            .context("a Service has an address")?;
        format!("{address}:{port}").parse().context("an address")
    }
}

/// A rule without conditions is for every path.
fn matches_of(rule: &Value) -> Vec<Result<Match>> {
    match rule["matches"].as_array() {
        Some(matches) => matches.iter().map(Match::of).collect(),
        None => vec![Ok(Match::Prefix("/".to_owned()))],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Match, Route};

    #[test]
    fn an_exact_path_wins_then_the_longest_prefix() {
        let rule = |kind: &str, value: &str, backends: serde_json::Value| json!({"matches": [{"path": {"type": kind, "value": value}}], "backendRefs": backends});
        let route = Route {
            rules: vec![
                rule("PathPrefix", "/api", json!([{"name": "app", "port": 80}])),
                rule("PathPrefix", "/api/events", json!(null)),
                rule(
                    "Exact",
                    "/api/events/open",
                    json!([{"name": "other", "port": 81}]),
                ),
            ],
        };
        let name = |path| {
            route
                .backend(path)
                .unwrap()
                .map(|(_, backend)| backend["name"].clone())
        };
        assert_eq!(name("/api"), Some(json!("app")));
        assert_eq!(name("/api/eventsof/tasks"), Some(json!("app")));
        assert_eq!(name("/api/events"), None);
        assert_eq!(name("/api/events/tasks"), None);
        assert_eq!(name("/api/events/open"), Some(json!("other")));
        assert_eq!(name("/apis"), None);
        assert_eq!(
            route.forwards().unwrap(),
            [
                Match::Prefix("/api".to_owned()),
                Match::Exact("/api/events/open".to_owned())
            ]
        );
    }
}
