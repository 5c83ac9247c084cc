//! The database functions that this version calls, and whether the database has them.
//!
//! Rollouts mix versions, so this asks only for what this version needs: a function of that name with these parameters,
//! and no other parameter without a default.

use serde_json::{Map, Value, json};
use spin_sdk::pg4::ParameterValue;

use crate::parameter::param;

/// Every function that a component calls, with the names of the parameters that it is given.
const CALLED: &[(&str, &[&str])] = &[
    (
        "apply_reminders",
        &[
            "event_id",
            "sequence",
            "user_id",
            "task_id",
            "moments",
            "happened_at",
            "due_date",
            "reason",
            "outbox",
        ],
    ),
    ("ask_signing_keys", &["address", "patience"]),
    ("become_publisher", &["sidecar_name", "new_token"]),
    ("change_tasks", &["user_id", "operations", "outbox"]),
    ("claim_event", &["handler", "event_id"]),
    ("close_stream", &["stream_id"]),
    (
        "complete_task",
        &["user_id", "task_id", "outbox", "versions"],
    ),
    (
        "create_successor",
        &[
            "event_id",
            "user_id",
            "task_id",
            "occurrence",
            "successor_id",
            "fields",
            "outbox",
        ],
    ),
    (
        "create_task",
        &[
            "user_id",
            "task_id",
            "fields",
            "key",
            "request_hash",
            "outbox",
        ],
    ),
    ("delete_task", &["user_id", "task_id", "outbox", "versions"]),
    (
        "drop_expired_partition",
        &["events_seconds", "processed_ids_seconds"],
    ),
    ("ensure_partitions", &[]),
    (
        "expire_rows",
        &[
            "most",
            "idempotency_keys_seconds",
            "read_notifications_seconds",
            "dead_letters_seconds",
            "events_seconds",
            "processed_ids_seconds",
            "unread_notifications_seconds",
            "analytics_seconds",
        ],
    ),
    ("jobs_failed", &["sidecar", "probe"]),
    ("jobs_reached", &["sidecar"]),
    ("keep_signing_keys", &["address", "keys"]),
    (
        "list_dead_letters",
        &["is_open", "after_at", "after_id", "most", "bytes"],
    ),
    ("list_lanes", &["is_resting", "most"]),
    ("may_call_jobs", &["sidecar"]),
    (
        "notify_user",
        &[
            "event_id",
            "notification_id",
            "user_id",
            "task_id",
            "task_title",
            "remind_at",
        ],
    ),
    ("overdue_reminders", &["most"]),
    (
        "open_stream",
        &[
            "stream_id",
            "user_id",
            "host",
            "seconds",
            "most_of_user",
            "most_of_host",
            "after",
            "latest",
            "most",
        ],
    ),
    (
        "publish_turn",
        &["sidecar_name", "own_token", "results", "most"],
    ),
    (
        "publishing_failed",
        &["sidecar_name", "own_token", "results"],
    ),
    ("read_calendar", &["secret_hash", "known"]),
    ("read_changes", &["user_id", "after", "latest", "most"]),
    ("read_dead_letter", &["letter_id", "bytes"]),
    ("read_lane", &["user_id"]),
    ("read_notification", &["user_id", "notification_id"]),
    ("read_notifications", &["user_id"]),
    ("read_signing_keys", &["address", "patience"]),
    ("read_task", &["user_id", "task_id"]),
    ("record_alarm", &["task_id", "alarm"]),
    (
        "record_dead_letter",
        &[
            "letter_id",
            "topic",
            "kafka_partition",
            "kafka_offset",
            "payload",
            "event_id",
            "event_type",
            "user_id",
        ],
    ),
    ("reopen_task", &["user_id", "task_id", "outbox", "versions"]),
    ("replace_calendar", &["user_id", "secret_hash"]),
    ("resolve_dead_letter", &["letter_id", "resolution", "bytes"]),
    ("rest_reminder", &["task_id"]),
    ("retry_lane", &["user_id"]),
    ("revoke_calendar", &["user_id"]),
    ("ring_reminder", &["task_id", "outbox"]),
    ("service_overview", &["most"]),
    ("skip_event", &["user_id", "sequence"]),
    ("skip_task", &["user_id", "task_id", "outbox", "versions"]),
    (
        "snooze_notification",
        &["user_id", "notification_id", "seconds", "until", "outbox"],
    ),
    ("tend_publishers", &["sidecar"]),
    ("unset_alarms", &["sidecar", "most"]),
    (
        "update_task",
        &["user_id", "task_id", "patch", "versions", "outbox"],
    ),
    ("watch_deliveries", &["stream"]),
    // Called by the statements that list tasks and notifications.
    ("notification_json", &["notification"]),
    ("rfc3339", &["instant"]),
    ("task_text", &["task"]),
];

/// An SQL expression, a JSON array of the names of functions that are missing, with `parameter` for [`called`]. Each name
/// is looked up by an index of the catalogue.
pub fn missing(parameter: &str) -> String {
    format!(
        "(
            SELECT coalesce(jsonb_agg(needed.name ORDER BY needed.name), '[]')
            FROM jsonb_each({parameter}::text::jsonb) AS needed (name, parameters)
            WHERE (
                SELECT coalesce(bool_or(
                    pg_function_is_visible(there.oid)
                    AND coalesce(to_jsonb(there.proargnames), '[]') @> needed.parameters
                    AND there.pronargs - there.pronargdefaults <= jsonb_array_length(needed.parameters)
                ), false)
                FROM pg_proc AS there
                WHERE there.proname = needed.name::name
            ) IS FALSE
        )"
    )
}

/// The functions that are called, as the parameter that [`missing`] asks for.
pub fn called() -> ParameterValue {
    let called: Map<String, Value> = CALLED
        .iter()
        .map(|(name, parameters)| ((*name).to_owned(), json!(parameters)))
        .collect();
    param(Value::Object(called).to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::CALLED;

    /// The files under a folder of the workspace whose names end in `ending`.
    fn files(folder: &str, end: &str) -> Vec<PathBuf> {
        let mut folders = vec![
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(folder),
        ];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(end) {
                    found.push(path);
                }
            }
        }
        found
    }

    /// Splits `text`, which begins with a parenthesis: what stands between it and its closing one, and what follows.
    fn in_parentheses(text: &str) -> (&str, &str) {
        let mut depth = 0;
        for (place, char) in text.char_indices() {
            match char {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return (&text[1..place], &text[place + 1..]);
            }
        }
        panic!("no end: {text}");
    }

    /// The text literal that an argument list begins with.
    fn first_literal(arguments: &str) -> Option<&str> {
        let (literal, _) = arguments.trim_start().strip_prefix('"')?.split_once('"')?;
        Some(literal)
    }

    /// Every call in the sources: the function, and the parameters given in the same expression.
    fn calls() -> Vec<(String, Vec<String>)> {
        let mut calls = Vec::new();
        for file in [
            files("components", ".rs"),
            files("crates/platform/src", ".rs"),
        ]
        .concat()
        {
            let source = fs::read_to_string(&file).unwrap();
            // Calls in tests do not count.
            let source = source.split("#[cfg(test)]").next().unwrap();
            for (place, call) in source.match_indices("Call::of(") {
                let (arguments, mut rest) = in_parentheses(&source[place + call.len() - 1..]);
                let Some(function) = first_literal(arguments) else {
                    panic!(
                        "{}: a call whose function is not said there",
                        file.display()
                    );
                };
                let mut parameters = Vec::new();
                while let Some(method) = rest.trim_start().strip_prefix('.') {
                    let (arguments, next) = in_parentheses(&method[method.find('(').unwrap()..]);
                    parameters.extend(first_literal(arguments).map(str::to_owned));
                    rest = next;
                }
                calls.push((function.to_owned(), parameters));
            }
        }
        calls
    }

    /// The functions of today with the names of their parameters.
    fn functions() -> BTreeMap<String, Vec<String>> {
        let mut functions = BTreeMap::new();
        for file in files("migrations/functions", ".sql") {
            let text = fs::read_to_string(file).unwrap();
            for definition in text.split("CREATE OR REPLACE FUNCTION ").skip(1) {
                let start = definition.find('(').unwrap();
                let (parameters, _) = in_parentheses(&definition[start..]);
                let names = parameters.split(',').filter_map(|parameter| {
                    let name = parameter.split_whitespace().next()?;
                    (name != "OUT").then(|| name.to_owned())
                });
                functions.insert(definition[..start].to_owned(), names.collect());
            }
        }
        functions
    }

    #[test]
    fn readiness_asks_for_every_function_that_is_called() {
        let calls = calls();
        assert!(calls.len() > 20, "{calls:?}");
        let mut called: BTreeSet<&str> = calls
            .iter()
            .map(|(function, _)| function.as_str())
            .collect();
        let functions = functions();
        for file in files("crates/platform/src/lists", ".rs") {
            let text = fs::read_to_string(file).unwrap();
            let names = functions.keys().map(String::as_str);
            called.extend(names.filter(|name| text.contains(&format!("{name}("))));
        }
        let listed: BTreeSet<&str> = CALLED.iter().map(|(function, _)| *function).collect();
        assert_eq!(listed, called);
        assert_eq!(listed.len(), CALLED.len());
        for (function, parameters) in calls {
            let listed = CALLED.iter().find(|(name, _)| *name == function);
            let listed = listed
                .map(|(_, parameters)| *parameters)
                .unwrap_or_default();
            for parameter in parameters {
                assert!(
                    listed.contains(&parameter.as_str()),
                    "{function}: {parameter}"
                );
            }
        }
    }

    /// Parameters count too: the database refuses a call that lacks a parameter without a default, or has one that it
    /// does not know.
    #[test]
    fn listed_functions_have_the_parameters_of_today() {
        let functions = functions();
        for (name, parameters) in CALLED {
            assert_eq!(
                functions.get(*name).map(Vec::as_slice),
                Some(
                    parameters
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .as_slice()
                ),
                "{name}"
            );
        }
    }
}
