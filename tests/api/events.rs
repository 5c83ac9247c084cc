//! What a change puts on the topic of task events. Consumers depend on each member.

use e2e::events::{first_appearances, records_of};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;

/// One of each type: created, updated, completed, deleted.
fn lifetime(todo: &TestUser) -> String {
    let task = todo.created_with(json!({
        "title": "Pay rent", "description": "Standing order?", "priority": "high", "tags": ["home", "money"],
        // A due date in the past, so that no reminder takes a number in between.
        "due_date": "2020-01-31T09:00:00+01:00", "timezone": "Europe/Berlin",
    }));
    let id = string_member(&task, "id").to_owned();
    todo.patch(&id, json!({"title": "Pay the rent", "tags": null}))
        .task(200);
    todo.complete(&id).task(200);
    todo.delete(&id).expect(204);
    id
}

#[test]
fn each_event_keeps_its_form() {
    let todo = TestUser::random();
    let id = lifetime(&todo);
    let mut events = todo.published_events();
    for event in &events {
        assert_eq!(event["subject"], id.as_str());
        assert_eq!(event["partitionkey"], todo.user());
        assert_eq!(event["data"]["task_id"], id.as_str());
        assert_eq!(event["data"]["user_id"], todo.user());
        assert_eq!(event["data"]["timestamp"], event["time"]);
        assert_eq!(string_member(event, "id").as_bytes()[14], b'7');
    }
    for event in &mut events {
        assert_eq!(event["source"], format!("/todo/users/{}", todo.user()));
        event["source"] = json!("/todo/users/[user]");
    }
    let events = Value::Array(events);
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    for selector in [
        "[].id",
        "[].subject",
        "[].partitionkey",
        "[].time",
        "[].traceid",
        "[].traceparent",
        "[].data.task_id",
        "[].data.user_id",
        "[].data.series_id",
        "[].data.timestamp",
        "[].data.created_at",
        "[].data.updated_at",
    ] {
        let name = selector.rsplit('.').next().unwrap_or_default();
        settings.add_redaction(selector, format!("[{name}]"));
    }
    settings.add_redaction(
        "[].data.completed_at",
        insta::dynamic_redaction(|value, _| {
            if value.is_nil() {
                value
            } else {
                "[completed_at]".into()
            }
        }),
    );
    settings.bind(|| insta::assert_json_snapshot!("events", events));
}

#[test]
fn a_users_events_are_numbered_and_share_a_partition() {
    let todo = TestUser::random();
    for _ in 0..3 {
        lifetime(&todo);
    }
    todo.settle(Limit::DELIVERY);
    let records = records_of(todo.stack(), TASKS_TOPIC, todo.user());
    for record in &records {
        assert_eq!(record.key.as_deref(), Some(todo.user()));
        assert_eq!(record.partition, records[0].partition);
    }
    let events = first_appearances(&records);
    let expected: Vec<String> = (1..=12).map(|n| format!("{n:020}")).collect();
    let sequences: Vec<&str> = events
        .iter()
        .map(|event| string_member(event, "sequence"))
        .collect();
    assert_eq!(sequences, expected);
    let mut times: Vec<&str> = events
        .iter()
        .map(|event| string_member(event, "time"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    times.dedup();
    assert_eq!(times.len(), 12);
}

#[test]
fn what_is_published_is_what_is_stored() {
    let todo = TestUser::random();
    lifetime(&todo);
    let published = todo.published_events();
    let stored = todo.stored_events();
    assert_eq!(published.len(), stored.len());
    for (published, stored) in published.iter().zip(&stored) {
        for (attribute, value) in stored.as_object().into_iter().flatten() {
            assert_eq!(&published[attribute], value, "{attribute}");
        }
    }
}

#[test]
fn the_trace_of_the_request_travels_with_the_event() {
    let todo = TestUser::random();
    let answer = todo.create(json!({"title": "t"})).expect(201);
    let events = todo.published_events();
    assert_eq!(
        events[0]["traceid"]
            .as_str()
            .map(|trace| trace.contains(&answer.trace)),
        Some(true),
        "{}",
        events[0]
    );
}

/// An event holds all fields of the representation, under the same names but for `id`.
#[test]
fn an_event_holds_the_whole_task() {
    let todo = TestUser::random();
    let mut task = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "weekly"}));
    let event = todo.published_events().remove(0);
    let mut data = event["data"].clone();
    let (data, task) = match (data.as_object_mut(), task.as_object_mut()) {
        (Some(data), Some(task)) => (data, task),
        _ => panic!("{event}"),
    };
    data.remove("timestamp");
    assert_eq!(data.remove("task_id"), task.remove("id"));
    assert_eq!(data, task);
}
