//! `POST …/complete` and `POST …/reopen`.

use std::thread;

use e2e::events::types;
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};

use crate::unharmed::unchanged;

/// Values of `If-Match` that do not match a task at its first version: other versions, a weak tag, and text that is no
/// tag.
pub const NEVER: [&str; 7] = [
    "\"2\"",
    "W/\"1\"",
    "1",
    "\"01\"",
    "\"x\", \"3\"",
    "",
    "\"99999999999999999999\"",
];

#[test]
fn completing_is_idempotent() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    let completed = todo.complete(id).task(200);
    assert_eq!(completed["completed"], true);
    assert_eq!(completed["completed_at"], completed["updated_at"]);
    assert_eq!(completed["version"], 2);
    unchanged(&todo, || {
        assert_eq!(todo.complete(id).task(200), completed);
    });
    assert_eq!(
        types(&todo.published_events()),
        ["task.created", "task.completed"]
    );
}

#[test]
fn a_task_completed_many_times_at_once_emits_once() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(todo.complete(id).task(200)["version"], 2));
        }
    });
    assert_eq!(
        types(&todo.published_events()),
        ["task.created", "task.completed"]
    );
}

#[test]
fn reopening_undoes_completing_and_is_idempotent() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    unchanged(&todo, || {
        assert_eq!(todo.reopen(id).task(200), task);
    });
    todo.complete(id).task(200);
    let reopened = todo.reopen(id).task(200);
    let mut expected = task.clone();
    expected["version"] = json!(3);
    expected["updated_at"] = reopened["updated_at"].clone();
    assert_eq!(reopened, expected);
    assert_eq!(reopened["completed_at"], Value::Null);
    unchanged(&todo, || {
        assert_eq!(todo.reopen(id).task(200), reopened);
    });
    assert_eq!(todo.complete(id).task(200)["version"], 4);

    let events = todo.published_events();
    assert_eq!(
        types(&events),
        [
            "task.created",
            "task.completed",
            "task.updated",
            "task.completed"
        ]
    );
    assert_eq!(
        events[2]["data"]["changed_fields"],
        json!(["completed", "completed_at"])
    );
}

#[test]
fn if_match_guards_completing_and_reopening() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    let post = |what: &str, tags: &str| {
        let call = todo.call("POST", format!("{}/{what}", todo.task_path(id)));
        call.header("if-match", tags).send()
    };
    unchanged(&todo, || {
        for stale in NEVER {
            post("complete", stale).problem(412, "precondition-failed");
            // `If-Match` counts even if nothing would change.
            post("reopen", stale).problem(412, "precondition-failed");
        }
    });
    assert_eq!(post("complete", "\"9\", \"1\"").task(200)["version"], 2);
    unchanged(&todo, || {
        post("complete", "\"1\"").problem(412, "precondition-failed");
        post("reopen", "\"1\"").problem(412, "precondition-failed");
        assert_eq!(post("complete", "\"2\"").task(200)["version"], 2);
        assert_eq!(post("complete", "*").task(200)["version"], 2);
    });
    assert_eq!(post("reopen", "\"2\"").task(200)["version"], 3);
    assert_eq!(post("complete", "*").task(200)["version"], 4);
    assert_eq!(
        types(&todo.published_events()),
        [
            "task.created",
            "task.completed",
            "task.updated",
            "task.completed"
        ]
    );
    for what in ["complete", "reopen"] {
        let missing = todo.task_path("00000000-0000-7000-8000-000000000000");
        let call = todo.call("POST", format!("{missing}/{what}"));
        let answer = call.header("if-match", "\"1\"").send();
        answer.problem(404, "not-found");
    }
}

#[test]
fn a_body_is_not_needed_and_not_read() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let target = format!("{}/complete", todo.task_path(string_member(&task, "id")));
    todo.call("POST", target).body("not JSON").send().task(200);
}

#[test]
fn an_unknown_or_foreign_task_cannot_be_completed_or_reopened() {
    let todo = TestUser::random();
    let other = TestUser::random();
    let theirs = other.created("theirs");
    unchanged(&other, || {
        for id in [
            string_member(&theirs, "id"),
            "00000000-0000-7000-8000-000000000000",
            "x",
        ] {
            todo.complete(id).problem(404, "not-found");
            todo.reopen(id).problem(404, "not-found");
        }
    });
    assert!(todo.stored_events().is_empty());
}
