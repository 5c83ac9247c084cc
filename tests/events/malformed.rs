//! Events that can never be handled.

use e2e::flow::{deliver, publish, successor, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;
use uuid::Uuid;

/// Copies of an event under new ids, each broken in one place.
fn broken(event: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for (pointer, value) in [
        ("/specversion", json!("0.3")),
        ("/id", json!("7")),
        ("/time", json!("yesterday")),
        ("/sequence", json!("7")),
        ("/data", json!("text")),
        ("/data/task_id", json!("x")),
        ("/data/user_id", json!("")),
        ("/data/completed", json!("yes")),
        ("/data/due_date", json!("2026-13-01T00:00:00Z")),
    ] {
        let mut copy = event.clone();
        copy["id"] = json!(Uuid::now_v7());
        match copy.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => panic!("no {pointer} in {event}"),
        }
        all.push(copy);
    }
    all
}

#[test]
fn the_reminder_handler_drops_malformed_events_and_changes_nothing() {
    let todo = TestUser::random();
    todo.created_with(json!({"title": "t", "due_date": "2020-01-01T00:00:00Z"}));
    let before = wait_until_settled(&todo, Limit::DELIVERY);
    let rows = todo.rows();
    for event in broken(&before[0]) {
        let answer = deliver(&todo, "/api/events/reminders", &event).expect(200);
        assert_eq!(answer.json(), json!({"status": "DROP"}), "{event}");
        let claims = "SELECT count(*) FROM processed_events WHERE event_id::text = $1";
        assert_eq!(
            todo.database().json(claims, &[string_member(&event, "id")]),
            0
        );
    }
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), before);
    assert_eq!(todo.rows(), rows);
}

#[test]
fn a_malformed_event_in_the_topic_becomes_a_dead_letter_and_holds_up_nobody() {
    let todo = TestUser::random();
    let task = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "daily"}));
    let mut event = wait_until_settled(&todo, Limit::DELIVERY).remove(0);
    event["id"] = json!(Uuid::now_v7());
    event["type"] = json!("task.completed");
    event["data"]["occurrence"] = json!("first");
    publish(&todo, TASKS_TOPIC, &event);

    todo.complete(string_member(&task, "id")).task(200);
    successor(&todo, &task);
    let letters = until("a dead letter", Limit::DELIVERY, || {
        let letters = todo.database().json(
            "SELECT coalesce(jsonb_agg(to_jsonb(letter)), '[]') FROM dead_letters AS letter WHERE event_id = $1",
            &[string_member(&event, "id")],
        );
        match letters.as_array().map(Vec::len) {
            Some(0) | None => Err("none"),
            Some(_) => Ok(letters),
        }
    });
    assert_eq!(letters[0]["status"], "open", "{letters}");
    assert_eq!(letters[0]["topic"], TASKS_TOPIC, "{letters}");
    assert_eq!(letters[0]["event_type"], "task.completed", "{letters}");
    assert_eq!(letters[0]["user_id"], todo.user(), "{letters}");
    assert_eq!(letters[1], Value::Null, "{letters}");
}
