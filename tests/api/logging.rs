//! One JSON line for each request and each delivery: who, what and how long. A success has a line only at `debug`.

use e2e::logs::{line_of, lines_of};
use e2e::replica::Replica;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::net;
use uuid::Uuid;

#[test]
fn each_request_has_a_line() {
    let todo = TestUser::random();
    let created = todo.create(json!({"title": "t"}));
    let trace = created.trace.clone();
    let task = created.task(201);
    let line = line_of(todo.stack(), "task-api", &trace);
    assert!(string_member(&line, "timestamp").ends_with('Z'));
    assert!(line["duration_ms"].is_u64(), "{line}");
    for (field, value) in [
        ("level", json!("debug")),
        ("component", json!("task-api")),
        ("method", json!("POST")),
        ("route", json!("/api/{user_id}/tasks")),
        ("user_id", json!(todo.user())),
        ("status", json!(201)),
        ("outcome", json!("done")),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }

    let refused = todo.patch(string_member(&task, "id"), json!({"title": ""}));
    let line = line_of(todo.stack(), "task-api", &refused.trace);
    assert_eq!(line["status"], 422, "{line}");
    assert_eq!(line["outcome"], "refused", "{line}");
    assert_eq!(line["task_id"], task["id"], "{line}");
    assert_eq!(line["route"], "/api/{user_id}/tasks/{task_id}", "{line}");
}

/// By default neither a success nor a client's mistake has a line.
#[test]
fn without_debug_only_what_matters_has_a_line() {
    let stack = shared_stack();
    let replica = Replica::with(stack, &[("log_level", "info"), ("jwt_secret", "too short")]);
    let todo = TestUser::random_on(replica.endpoints());
    let unknown = todo.call("GET", "/unknown").send();
    // Not a call that is compared with the API's description: no client should see a 500.
    let trace = Uuid::now_v7().simple().to_string();
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    let authorization = format!("Bearer {}", todo.token());
    let headers = [
        ("authorization", authorization.as_str()),
        ("traceparent", traceparent.as_str()),
    ];
    let url = format!("{}{}", todo.stack().api_url, todo.tasks_path());
    let fault = net::get(&url, &headers).map_err(|error| format!("{error:#}"));
    assert!(
        fault.as_ref().is_err_and(|fault| fault.contains("500")),
        "{fault:?}"
    );
    let line = line_of(todo.stack(), "task-api", &trace);
    assert_eq!(line["level"], "error", "{line}");
    // The line of the earlier request would be there by now.
    let lines = lines_of(todo.stack(), "task-api", &unknown.trace);
    assert!(
        unknown.status == 404 && lines.is_empty(),
        "{unknown:?} {lines:?}"
    );
}

#[test]
fn each_event_has_a_line_where_it_is_handled() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": "2030-01-01T00:00:00Z",
    }));
    todo.complete(string_member(&task, "id")).task(200);
    let completed = todo.published_events().remove(1);
    let line_of = |component: &str, message: &str| -> Value {
        until(
            &format!("{component} logs the event"),
            Limit::DELIVERY,
            || {
                let lines = lines_of(todo.stack(), component, string_member(&completed, "id"));
                let line = lines
                    .iter()
                    .find(|line| line["message"] == message)
                    .cloned();
                line.ok_or_else(|| format!("{lines:?}"))
            },
        )
    };
    for (component, message, outcome) in [
        ("recurrence-handler", "delivery", "done"),
        ("reminder-handler", "delivery", "done"),
    ] {
        let line = line_of(component, message);
        assert!(line["duration_ms"].is_u64(), "{line}");
        assert!(line["timestamp"].is_string(), "{line}");
        assert_eq!(line["event_type"], "task.completed", "{line}");
        assert_eq!(line["user_id"], todo.user(), "{line}");
        assert_eq!(line["task_id"], task["id"], "{line}");
        assert_eq!(line["outcome"], outcome, "{line}");
    }
}

/// Titles, descriptions, tags, tokens and keys of requests that succeed.
#[test]
fn nothing_private_is_logged() {
    let todo = TestUser::random();
    let marker = format!("private-{}", &todo.user()[5..]);
    let body = json!({"title": marker, "description": marker, "tags": [marker], "due_date": "2030-01-01T00:00:00Z"});
    let task = todo.create_once(&marker, body).task(201);
    let id = string_member(&task, "id");
    todo.patch(id, json!({"title": format!("{marker} again")}))
        .task(200);
    todo.listed(&format!("q={marker}&tags={marker}"));
    todo.complete(id).task(200);
    todo.delete(id).expect(204);
    let deleted = todo.published_events().remove(3);
    until(
        "reminder-handler logs the last event",
        Limit::DELIVERY,
        || {
            let lines = lines_of(
                todo.stack(),
                "reminder-handler",
                string_member(&deleted, "id"),
            );
            lines.first().cloned().ok_or("not yet")
        },
    );
    e2e::logs::assert_absent(todo.stack(), &[&marker, todo.token()]);
}
