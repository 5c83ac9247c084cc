//! `DELETE /api/{user_id}/tasks/{task_id}`.

use std::thread;

use e2e::events::types;
use e2e::test_user::{TestUser, string_member};
use serde_json::json;

use crate::completing::NEVER;
use crate::unharmed::unchanged;

#[test]
fn a_deleted_task_is_gone() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let kept = todo.created("kept");
    let id = string_member(&task, "id");
    let answer = todo.delete(id).expect(204);
    assert!(answer.body.is_empty(), "{answer:?}");
    assert_eq!(answer.header("content-length"), None);
    todo.get(id).problem(404, "not-found");
    unchanged(&todo, || {
        todo.delete(id).problem(404, "not-found");
        todo.complete(id).problem(404, "not-found");
        todo.patch(id, json!({"title": "u"}))
            .problem(404, "not-found");
    });
    assert_eq!(todo.listed(""), [kept]);
    assert_eq!(
        types(&todo.published_events()),
        ["task.created", "task.created", "task.deleted"]
    );
}

#[test]
fn a_task_deleted_many_times_at_once_emits_once() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    let mut statuses: Vec<u16> = thread::scope(|scope| {
        let deleters: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| todo.delete(id).status))
            .collect();
        deleters
            .into_iter()
            .map(|deleter| deleter.join().unwrap_or_default())
            .collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 404, 404, 404]);
    assert_eq!(
        types(&todo.published_events()),
        ["task.created", "task.deleted"]
    );
}

#[test]
fn if_match_guards_against_deleting_what_one_has_not_seen() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    let delete = |tags: &str| {
        let call = todo.call("DELETE", todo.task_path(id));
        call.header("if-match", tags).send()
    };
    unchanged(&todo, || {
        for stale in NEVER {
            delete(stale).problem(412, "precondition-failed");
        }
    });
    todo.patch(id, json!({"title": "changed meanwhile"}))
        .task(200);
    unchanged(&todo, || {
        delete("\"1\"").problem(412, "precondition-failed");
    });
    delete("\"1\", \"2\"").expect(204);
    for tags in ["\"2\"", "*"] {
        delete(tags).problem(404, "not-found");
    }
    let other = todo.created("any version");
    let call = todo.call("DELETE", todo.task_path(string_member(&other, "id")));
    call.header("if-match", "*").send().expect(204);
}

#[test]
fn a_deletion_and_an_edit_of_one_version_do_not_both_win() {
    let todo = TestUser::random();
    for _ in 0..5 {
        let task = todo.created("t");
        let id = string_member(&task, "id");
        let guarded = |method: &str| {
            let call = todo.call(method, todo.task_path(id));
            call.header("if-match", "\"1\"")
        };
        let (edited, deleted) = thread::scope(|scope| {
            let edit = scope.spawn(|| {
                let call = guarded("PATCH").json(&json!({"title": "edited"}));
                call.send().status
            });
            let deletion = scope.spawn(|| guarded("DELETE").send().status);
            let status = |thread: thread::ScopedJoinHandle<'_, u16>| thread.join().ok();
            (status(edit), status(deletion))
        });
        match (edited, deleted) {
            (Some(200), Some(412)) => {
                assert_eq!(todo.get(id).task(200)["title"], "edited");
            }
            (Some(404), Some(204)) => {
                todo.get(id).problem(404, "not-found");
            }
            both => panic!("{both:?}"),
        }
    }
}

#[test]
fn nobody_elses_task_is_deleted() {
    let todo = TestUser::random();
    let other = TestUser::random();
    let theirs = other.created("theirs");
    unchanged(&other, || {
        todo.delete(string_member(&theirs, "id"))
            .problem(404, "not-found");
        todo.delete("x").problem(404, "not-found");
    });
}
