//! What the HTTPRoute forwards, and what the app makes of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stack::report::Report;
use ureq::Agent;

use super::new_user;
use crate::kubectl::Kubectl;
use crate::route::Route;
use crate::service::Service;

/// Paths that the app knows and that are nobody's outside: the sidecar's, the kubelet's, the operators'.
const HIDDEN: [&str; 12] = [
    "/api/events/tasks",
    "/api/events/reminders",
    "/api/events/dead-letters",
    "/api/events/ignored",
    "/job/reminder-018f0000-0000-7000-8000-000000000000",
    "/internal/relay",
    "/dapr/subscribe",
    "/healthz",
    "/readyz",
    "/readyz/deliveries",
    "/operator",
    "/operator/api/overview",
];

/// Of those that the app describes, the health routes are not for the world.
const OF_THE_KUBELET: [&str; 2] = ["/healthz", "/readyz"];

/// Each condition of the route has a path that the app answers with success; each path that the app's own description names
/// is forwarded; and nothing of the sidecar's, the kubelet's and the operators' is, though the app knows all of them.
pub fn the_route_forwards_what_the_app_answers(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    let route = Route::read(kubectl)?;
    let app = App::new(service)?;
    let description = app.json("/openapi.json")?;
    let events = app.json("/asyncapi.json")?.to_string();
    let schema = events
        .split('"')
        .find(|text| text.starts_with("urn:todo-events:schema:"))
        .context("the events' description names no schema")?;
    let answered = [
        "/".to_owned(),
        "/app/main.js".to_owned(),
        format!("/api/{}/tasks", app.user),
        "/openapi.json".to_owned(),
        app.calendar()?,
        "/asyncapi.json".to_owned(),
        format!("/schemas/{schema}"),
    ];
    let mut left = route.forwards()?;
    for path in &answered {
        let (condition, _) = route
            .backend(path)?
            .with_context(|| format!("{path} is not forwarded"))?;
        left.retain(|other| *other != condition);
        let status = app.get(path)?.status();
        ensure!(status == 200, "GET {path}: {status}");
    }
    ensure!(left.is_empty(), "nothing is known that answers {left:?}");

    let described: Vec<&String> = description["paths"]
        .as_object()
        .context("the description has paths")?
        .keys()
        .filter(|path| !OF_THE_KUBELET.contains(&path.as_str()))
        .collect();
    for path in &described {
        ensure!(route.backend(path)?.is_some(), "{path} is not forwarded");
    }

    for path in HIDDEN {
        ensure!(route.backend(path)?.is_none(), "{path} is forwarded");
        let status = app.get(path)?.status();
        ensure!(status != 404, "the app knows no {path}");
    }
    report.say(format!(
        "  {} paths answered, {} described ones forwarded, {} hidden",
        answered.len(),
        described.len(),
        HIDDEN.len()
    ));
    Ok(())
}

/// The app behind the route, as a user with a token sees it.
struct App {
    agent: Agent,
    origin: String,
    user: String,
    authorization: String,
}

impl App {
    fn new(service: &Service) -> Result<Self> {
        let user = new_user();
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            origin: format!("http://{}", service.address),
            authorization: format!("Bearer {}", service.token(&user)?),
            user,
        })
    }

    fn get(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>> {
        let request = self.agent.get(format!("{}{path}", self.origin));
        request
            .header("Authorization", &self.authorization)
            .call()
            .with_context(|| format!("GET {path}"))
    }

    fn json(&self, path: &str) -> Result<Value> {
        let text = self.get(path)?.body_mut().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("{path} is no JSON: {text}"))
    }

    /// A new calendar's path.
    fn calendar(&self) -> Result<String> {
        let address = format!("{}/api/{}/calendar", self.origin, self.user);
        let request = self.agent.post(address);
        let mut response = request
            .header("Authorization", &self.authorization)
            .send_empty()?;
        let answer: Value = serde_json::from_str(&response.body_mut().read_to_string()?)?;
        let path = answer["path"].as_str();
        Ok(path
            .with_context(|| format!("no calendar: {answer}"))?
            .to_owned())
    }
}
