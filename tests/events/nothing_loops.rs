//! All that follows from a change, and nothing more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::timestamp::Timestamp;
use e2e::events::types;
use e2e::flow::{ordered, successor, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};

/// An instant this many days from now.
fn in_days(days: u64) -> String {
    let moment = SystemTime::now() + Duration::from_secs(days * 24 * 3600);
    let micros = moment
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    match i64::try_from(micros).map(Timestamp::from_unix_micros) {
        Ok(Ok(moment)) => moment.to_string(),
        _ => panic!("the clock is wrong"),
    }
}

/// The types of the events that are about a task, in order.
fn about<'a>(events: &'a [Value], task: &Value) -> Vec<&'a str> {
    let about = events.iter().filter(|event| event["subject"] == task["id"]);
    about.map(|event| string_member(event, "type")).collect()
}

#[test]
fn a_generated_task_is_announced_and_gets_its_reminder_like_any_other() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "weekly", "due_date": in_days(3),
    }));
    wait_until_settled(&todo, Limit::DELIVERY);
    todo.complete(string_member(&task, "id")).task(200);
    let next = successor(&todo, &task);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        about(&events, &task),
        [
            "task.created",
            "reminder.scheduled",
            "task.completed",
            "reminder.cancelled"
        ]
    );
    assert_eq!(
        about(&events, &next),
        ["task.created", "reminder.scheduled"]
    );
    assert_eq!(events.len(), 6, "{events:#?}");
    assert_eq!(ordered(&todo).len(), 6);

    let created = events
        .iter()
        .find(|event| event["subject"] == next["id"] && event["type"] == "task.created");
    assert_eq!(
        created.map(|event| &event["causationid"]),
        events
            .iter()
            .find(|event| event["type"] == "task.completed")
            .map(|event| &event["id"])
    );
    let mut data = created
        .map(|event| event["data"].clone())
        .unwrap_or_default();
    let mut expected = next.clone();
    expected["task_id"] = next["id"].clone();
    expected["timestamp"] = data["timestamp"].take();
    data["timestamp"] = expected["timestamp"].clone();
    if let Some(members) = expected.as_object_mut() {
        members.remove("id");
    }
    assert_eq!(data, expected);
}

#[test]
fn a_task_that_does_not_recur_is_followed_by_nothing() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({"title": "t", "due_date": "2020-01-01T00:00:00Z"}));
    todo.complete(string_member(&task, "id")).task(200);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(types(&events), ["task.created", "task.completed"]);
    assert_eq!(todo.listed("").len(), 1);
}
