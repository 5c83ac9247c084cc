//! The header `Idempotency-Key` of `POST /api/{user_id}/tasks`.

use std::thread;

use e2e::test_user::{TestUser, string_member};
use serde_json::json;

use crate::unharmed::unchanged;

#[test]
fn a_repeated_request_with_its_key_gets_the_first_answer() {
    let todo = TestUser::random();
    let body = json!({
        "title": "Pay rent", "priority": "high", "tags": ["home"], "due_date": "2030-01-31T09:00:00+01:00",
        "timezone": "Europe/Berlin", "is_recurring": true, "recurring_interval": "monthly",
    });
    let first = todo.create_once("key", body.clone());
    let location = first.header("location").map(str::to_owned);
    let task = first.task(201);
    let again = || {
        let again = todo.create_once("key", body.clone());
        assert_eq!(again.header("location").map(str::to_owned), location);
        assert_eq!(again.task(201), task);
    };
    unchanged(&todo, again);

    // The first answer comes also after the task was changed or deleted.
    let id = string_member(&task, "id");
    todo.patch(id, json!({"title": "changed"})).task(200);
    todo.complete(id).task(200);
    unchanged(&todo, again);
    todo.delete(id).expect(204);
    unchanged(&todo, again);
}

#[test]
fn the_same_task_in_another_spelling_is_the_same_request() {
    let todo = TestUser::random();
    let first = todo
        .create_once(
            "key",
            json!({"title": "t", "due_date": "2030-01-31T09:00:00+01:00"}),
        )
        .task(201);
    unchanged(&todo, || {
        let spelled = json!({"due_date": "2030-01-31T08:00:00Z", "title": " t", "priority": null});
        assert_eq!(todo.create_once("key", spelled).task(201), first);
    });
}

#[test]
fn another_request_with_a_used_key_is_refused() {
    let todo = TestUser::random();
    let first = todo.create_once("key", json!({"title": "t"})).task(201);
    unchanged(&todo, || {
        todo.create_once("key", json!({"title": "u"}))
            .problem(422, "idempotency-key-reused");
        // An invalid body is answered as invalid, whatever the key.
        assert_eq!(
            todo.create_once("key", json!({"title": ""})).violations(),
            ["/title"]
        );
    });
    // A refused request does not use up its key.
    assert_eq!(
        todo.create_once("free", json!({"title": ""})).violations(),
        ["/title"]
    );
    let second = todo.create_once("free", json!({"title": "t"})).task(201);
    assert_ne!(first["id"], second["id"]);
}

#[test]
fn idempotency_keys_belong_to_their_user() {
    let (todo, other) = (TestUser::random(), TestUser::random());
    let mine = todo.create_once("key", json!({"title": "mine"})).task(201);
    let theirs = other
        .create_once("key", json!({"title": "theirs"}))
        .task(201);
    assert_ne!(mine["id"], theirs["id"]);
}

#[test]
fn many_creates_with_one_key_at_once_make_one_task() {
    let todo = TestUser::random();
    let body = json!({"title": "t", "tags": ["a"]});
    let tasks: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| todo.create_once("key", body.clone()).task(201)))
            .collect();
        clients
            .into_iter()
            .filter_map(|client| client.join().ok())
            .collect()
    });
    assert_eq!(tasks.len(), 8);
    assert!(tasks.iter().all(|task| *task == tasks[0]), "{tasks:?}");
    assert_eq!(todo.listed("").len(), 1);
    assert_eq!(todo.stored_events().len(), 1);
}

#[test]
fn an_idempotency_key_is_free_again_after_a_day() {
    let todo = TestUser::random();
    let first = todo.create_once("key", json!({"title": "t"})).task(201);
    let age = |interval: &str| {
        let mut database = todo.database();
        let statement = "UPDATE idempotency_keys SET created_at = clock_timestamp() - $2::text::interval WHERE user_id = $1";
        let aged = database
            .client()
            .execute(statement, &[&todo.user(), &interval]);
        assert_eq!(aged.ok(), Some(1));
    };
    age("23 hours 59 minutes");
    assert_eq!(
        todo.create_once("key", json!({"title": "t"})).task(201),
        first
    );
    age("24 hours 1 minute");
    let second = todo.create_once("key", json!({"title": "u"})).task(201);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(
        todo.create_once("key", json!({"title": "u"})).task(201),
        second
    );
    todo.create_once("key", json!({"title": "t"}))
        .problem(422, "idempotency-key-reused");
}

#[test]
fn a_malformed_idempotency_key_is_refused() {
    let todo = TestUser::random();
    unchanged(&todo, || {
        for key in ["", "a b", "schlüssel", &"x".repeat(256)] {
            let answer = todo.create_once(key, json!({"title": "t"}));
            assert_eq!(answer.violations(), ["Idempotency-Key"], "{key:?}");
        }
        let twice = todo
            .call("POST", todo.tasks_path())
            .header("idempotency-key", "a")
            .header("idempotency-key", "b");
        assert_eq!(
            twice.json(&json!({"title": "t"})).send().violations(),
            ["Idempotency-Key"]
        );
    });
    todo.create_once(&"x".repeat(255), json!({"title": "t"}))
        .task(201);
    todo.create_once("!\"'%_~", json!({"title": "t"})).task(201);
}
