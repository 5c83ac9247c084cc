//! The format of errors, and paths and methods that no route has.

use e2e::test_user::{TestUser, string_member};
use serde_json::json;

use crate::unharmed::unchanged;

#[test]
fn unrouted_paths_are_not_found() {
    let todo = TestUser::random();
    let user = todo.user();
    for path in [
        "/app",
        "/app/",
        "/app/nothing.js",
        "/app/index.html",
        "/operator/",
        "/api",
        "/api/",
        "/nothing/here",
        "/favicon.ico",
        "/healthz/",
        "/healthz/x",
        "/dapr",
        "/dapr/config",
        "/internal",
        "/internal/relay/x",
        "/api/events",
        "/api/events/unknown",
        "/API/x/tasks",
        &format!("/api/{user}"),
        &format!("/api/{user}/notes"),
        &format!("/api/{user}/tasks/x/complete/x"),
        &format!("/api/{user}/tasks/x/finish"),
        &format!("/api//{user}/tasks"),
        &format!("//api/{user}/tasks/x/y/z"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            todo.call(method, path).send().problem(404, "not-found");
            todo.call(method, path)
                .authorization(None)
                .send()
                .problem(404, "not-found");
        }
    }
}

#[test]
fn other_methods_are_not_allowed_and_the_allowed_are_named() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let task = todo.task_path(string_member(&task, "id"));
    let allowed = [
        (todo.tasks_path(), vec!["GET", "POST"]),
        (task.clone(), vec!["GET", "PATCH", "DELETE"]),
        (format!("{task}/complete"), vec!["POST"]),
        (format!("{task}/reopen"), vec!["POST"]),
        (format!("/api/{}/notifications", todo.user()), vec!["GET"]),
        (
            format!("/api/{}/notifications/read-all", todo.user()),
            vec!["POST"],
        ),
        (
            format!("/api/{}/notifications/x/read", todo.user()),
            vec!["POST"],
        ),
        (
            format!("/api/{}/notifications/x/snooze", todo.user()),
            vec!["POST"],
        ),
        (format!("/api/{}/analytics", todo.user()), vec!["GET"]),
        ("/openapi.json".to_owned(), vec!["GET"]),
        ("/asyncapi.json".to_owned(), vec!["GET"]),
        (
            "/schemas/urn:todo-events:schema:task.created:1".to_owned(),
            vec!["GET"],
        ),
        ("/healthz".to_owned(), vec!["GET"]),
        ("/readyz".to_owned(), vec!["GET"]),
        ("/dapr/subscribe".to_owned(), vec!["GET"]),
    ];
    unchanged(&todo, || {
        for (path, allowed) in &allowed {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
                if allowed.contains(&method) {
                    continue;
                }
                let answer = todo.call(method, path.as_str()).send();
                assert_eq!(
                    answer.header("allow"),
                    Some(allowed.join(", ").as_str()),
                    "{method} {path}"
                );
                answer.problem(405, "method-not-allowed");
            }
        }
    });
}

/// What clients depend on, one of each.
#[test]
fn each_kind_of_error_keeps_its_form() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    let stale = todo
        .call("PATCH", todo.task_path(id))
        .header("if-match", "\"7\"");
    todo.create_once("key", json!({"title": "t"})).task(201);
    let problems = [
        todo.call("POST", todo.tasks_path())
            .body("{")
            .send()
            .problem(400, "bad-request"),
        todo.call("GET", todo.tasks_path())
            .authorization(None)
            .send()
            .problem(401, "unauthenticated"),
        todo.call("GET", todo.tasks_path())
            .authorization(Some("Bearer x"))
            .send()
            .problem(401, "unauthenticated"),
        todo.call("GET", "/api/another/tasks")
            .send()
            .problem(403, "forbidden"),
        todo.call("POST", "/internal/relay")
            .send()
            .problem(401, "unauthenticated"),
        todo.call("GET", "/nothing")
            .send()
            .problem(404, "not-found"),
        todo.get("x").problem(404, "not-found"),
        todo.call("PUT", todo.tasks_path())
            .send()
            .problem(405, "method-not-allowed"),
        stale
            .json(&json!({"title": "u"}))
            .send()
            .problem(412, "precondition-failed"),
        todo.create(json!({"title": "x".repeat(70_000)}))
            .problem(413, "content-too-large"),
        todo.create(json!({"tags": [1], "completed": true}))
            .problem(422, "invalid"),
        todo.list("limit=0").problem(422, "invalid"),
        todo.create_once("a b", json!({"title": "t"}))
            .problem(422, "invalid"),
        todo.create_once("key", json!({"title": "u"}))
            .problem(422, "idempotency-key-reused"),
    ];
    insta::assert_json_snapshot!("problems", problems);
}
