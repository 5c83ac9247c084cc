//! What the service wrote into its logs.

use std::fs;

use serde_json::Value;
use stack::endpoints::Endpoints;

use crate::wait::{Limit, until};

/// The lines of a component's log that hold `text`.
pub fn lines_of(stack: &Endpoints, component: &str, text: &str) -> Vec<Value> {
    let log = stack.component_log(component);
    let lines = log.lines().filter(|line| line.contains(text));
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The line that a component logged about the request or delivery of a trace; waits for it.
pub fn line_of(stack: &Endpoints, component: &str, trace: &str) -> Value {
    until("the log line of a request", Limit::SOON, || {
        let lines = lines_of(stack, component, trace);
        let found = lines
            .iter()
            .find(|line| line["message"] == "request" || line["message"] == "delivery");
        found.cloned().ok_or_else(|| format!("{lines:?}"))
    })
}

/// Requires that no log of the stack holds its secrets or any of `texts`.
pub fn assert_absent(stack: &Endpoints, texts: &[&str]) {
    let secrets = &stack.secrets;
    let secrets = [
        &secrets.jwt_secret,
        &secrets.app_token,
        &secrets.dapr_token,
        &secrets.postgres_password,
    ];
    let forbidden: Vec<&str> = secrets
        .into_iter()
        .map(String::as_str)
        .chain(texts.iter().copied())
        .filter(|text| !text.is_empty())
        .collect();
    let component_logs = fs::read_dir(&stack.component_logs).into_iter().flatten();
    let component_logs = component_logs.flatten().map(|entry| entry.path());
    for path in stack.logs.values().cloned().chain(component_logs) {
        let content = fs::read(&path).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        for line in content.lines() {
            for text in &forbidden {
                // The text itself would put the secret into one more log.
                let place = path.display();
                assert!(
                    !line.contains(text),
                    "{place} holds a secret of {} characters that begins with {:?}",
                    text.len(),
                    text.chars().take(4).collect::<String>()
                );
            }
        }
    }
}
