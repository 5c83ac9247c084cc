//! One successor for each task, however often its completion is delivered, repeated or undone.

use std::thread;

use e2e::events::types;
use e2e::flow::{deliver, series, successor, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};
use uuid::Uuid;

const ROUTE: &str = "/api/events/tasks";

fn daily(todo: &TestUser) -> Value {
    todo.created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": "2020-01-01T08:00:00Z"}))
}

/// Delivers an event to the recurrence handler, which must be content.
fn redeliver(todo: &TestUser, event: &Value) {
    let answer = deliver(todo, ROUTE, event).expect(200);
    assert_eq!(answer.json(), json!({"status": "SUCCESS"}));
}

/// The last completion that is stored of a user.
fn completion(todo: &TestUser) -> Value {
    let events = todo.stored_events();
    let last = events
        .iter()
        .rfind(|event| event["type"] == "task.completed");
    match last {
        Some(event) => event.clone(),
        None => panic!("no completion: {events:?}"),
    }
}

#[test]
fn a_completion_delivered_twice_makes_one_instance() {
    let todo = TestUser::random();
    let task = daily(&todo);
    todo.complete(string_member(&task, "id")).task(200);
    successor(&todo, &task);
    let before = wait_until_settled(&todo, Limit::DELIVERY);
    redeliver(&todo, &completion(&todo));
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), before);
    assert_eq!(
        types(&before),
        ["task.created", "task.completed", "task.created"]
    );
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 2);
}

#[test]
fn a_completion_delivered_many_times_at_once_makes_one_instance() {
    let todo = TestUser::random();
    for _ in 0..3 {
        let task = daily(&todo);
        todo.complete(string_member(&task, "id")).task(200);
        // At the same time as the sidecar's own delivery.
        let event = completion(&todo);
        assert_eq!(event["subject"], task["id"]);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| redeliver(&todo, &event));
            }
        });
        wait_until_settled(&todo, Limit::DELIVERY);
        assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 2);
    }
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY).len(), 9);
}

#[test]
fn a_task_reopened_and_completed_again_has_no_second_successor() {
    let todo = TestUser::random();
    let task = daily(&todo);
    let id = string_member(&task, "id");
    todo.complete(id).task(200);
    let next = successor(&todo, &task);
    let first = completion(&todo);
    todo.reopen(id).task(200);
    todo.complete(id).task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    let second = completion(&todo);
    assert_ne!(first["id"], second["id"]);
    for event in [&first, &second] {
        redeliver(&todo, event);
    }
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        types(&events),
        [
            "task.created",
            "task.completed",
            "task.created",
            "task.updated",
            "task.completed"
        ]
    );
    let series = series(&todo, string_member(&task, "series_id"));
    assert_eq!(series.len(), 2, "{series:?}");
    assert_eq!(series[1]["id"], next["id"]);
}

#[test]
fn a_deleted_instance_does_not_come_back() {
    let todo = TestUser::random();
    let task = daily(&todo);
    let id = string_member(&task, "id");
    todo.complete(id).task(200);
    let next = successor(&todo, &task);
    let event = completion(&todo);

    todo.delete(string_member(&next, "id")).expect(204);
    redeliver(&todo, &event);
    // Delivered again under another id.
    let mut retold = event.clone();
    retold["id"] = json!(Uuid::now_v7());
    redeliver(&todo, &retold);
    todo.reopen(id).task(200);
    todo.complete(id).task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 1);

    todo.delete(id).expect(204);
    for _ in 0..2 {
        redeliver(&todo, &event);
        retold["id"] = json!(Uuid::now_v7());
        redeliver(&todo, &retold);
    }
    wait_until_settled(&todo, Limit::DELIVERY);
    assert!(todo.listed("").is_empty());
}

#[test]
fn a_task_deleted_before_its_completion_was_handled_has_no_successor() {
    let todo = TestUser::random();
    let task = daily(&todo);
    // A completion that is delivered only to the handler, not stored.
    let mut event = wait_until_settled(&todo, Limit::DELIVERY).remove(0);
    event["id"] = json!(Uuid::now_v7());
    event["type"] = json!("task.completed");
    event["data"]["completed"] = json!(true);
    event["data"]["completed_at"] = event["time"].clone();
    todo.delete(string_member(&task, "id")).expect(204);
    redeliver(&todo, &event);
    redeliver(&todo, &event);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(types(&events), ["task.created", "task.deleted"]);
    assert!(todo.listed("").is_empty());
}
