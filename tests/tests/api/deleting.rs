//! `DELETE /api/{user_id}/tasks/{task_id}`.

use std::thread;

use e2e::events::types;
use e2e::todo::{Todo, text};

use crate::unharmed::unchanged;

#[test]
fn a_deleted_task_is_gone() {
    let todo = Todo::someone();
    let task = todo.created("t");
    let kept = todo.created("kept");
    let id = text(&task, "id");
    let answer = todo.delete(id).expect(204);
    assert!(answer.body.is_empty(), "{answer:?}");
    assert_eq!(answer.header("content-length"), None);
    todo.get(id).problem(404, "not-found");
    unchanged(&todo, || {
        todo.delete(id).problem(404, "not-found");
        todo.complete(id).problem(404, "not-found");
        todo.patch(id, serde_json::json!({"title": "u"}))
            .problem(404, "not-found");
    });
    assert_eq!(todo.listed(""), [kept]);
    assert_eq!(
        types(&todo.published_events()),
        ["task.created", "task.created", "task.deleted"]
    );
}

#[test]
fn deleted_many_times_at_once_it_emits_once() {
    let todo = Todo::someone();
    let task = todo.created("t");
    let id = text(&task, "id");
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
fn nobody_elses_task_is_deleted() {
    let todo = Todo::someone();
    let other = Todo::someone();
    let theirs = other.created("theirs");
    unchanged(&other, || {
        todo.delete(text(&theirs, "id")).problem(404, "not-found");
        todo.delete("x").problem(404, "not-found");
    });
}
