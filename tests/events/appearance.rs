//! Task events at the broker, against the form that `docs/events.md` promises.

use std::collections::BTreeSet;

use e2e::events::types;
use e2e::flow::{ordered, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};
use uuid::Uuid;

/// Members of the REST representation, with `id` named `task_id`.
const TASK: [&str; 23] = [
    "task_id",
    "user_id",
    "title",
    "description",
    "completed",
    "completed_at",
    "priority",
    "tags",
    "due_date",
    "timezone",
    "is_recurring",
    "recurring_interval",
    "series_id",
    "occurrence",
    "anchor_day",
    "wall_clock_due",
    "skipped_at",
    "recurrence",
    "reminders",
    "version",
    "created_at",
    "updated_at",
    "timestamp",
];

#[test]
fn the_four_task_events_have_the_promised_form() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "Water the plants", "due_date": "2020-02-01T09:00:00+01:00", "timezone": "Europe/Berlin",
    }));
    let id = string_member(&task, "id");
    todo.patch(id, json!({"priority": "high"})).task(200);
    todo.complete(id).task(200);
    todo.delete(id).expect(204);
    wait_until_settled(&todo, Limit::DELIVERY);

    let records = ordered(&todo);
    let events: Vec<Value> = records.iter().flat_map(|record| record.json()).collect();
    let expected = [
        "task.created",
        "task.updated",
        "task.completed",
        "task.deleted",
    ];
    assert_eq!(types(&events), expected);
    let mut ids = BTreeSet::new();
    for (index, event) in events.iter().enumerate() {
        let event_type = expected[index];
        let event_id = Uuid::parse_str(string_member(event, "id"));
        assert_eq!(event_id.map(|id| id.get_version_num()), Ok(7), "{event}");
        assert!(ids.insert(string_member(event, "id")), "{event}");
        for (attribute, value) in [
            ("specversion", json!("1.0")),
            ("source", json!(format!("/todo/users/{}", todo.user()))),
            ("subject", json!(id)),
            ("datacontenttype", json!("application/json")),
            (
                "dataschema",
                json!(format!("urn:todo-events:schema:{event_type}:1")),
            ),
            ("partitionkey", json!(todo.user())),
            ("sequence", json!(format!("{:020}", index + 1))),
        ] {
            assert_eq!(event[attribute], value, "{attribute} of {event}");
        }
        let data = &event["data"];
        assert_eq!(data["timestamp"], event["time"], "{event}");
        assert_eq!(data["task_id"], id);
        assert_eq!(data["user_id"], todo.user());

        let members: BTreeSet<&str> = data
            .as_object()
            .into_iter()
            .flat_map(|data| data.keys().map(String::as_str))
            .collect();
        let expected: BTreeSet<&str> = match event_type {
            "task.deleted" => [
                "task_id",
                "user_id",
                "timestamp",
                "title",
                "due_date",
                "was_completed",
            ]
            .into(),
            "task.updated" => TASK.into_iter().chain(["changed_fields"]).collect(),
            _ => TASK.into(),
        };
        assert_eq!(members, expected, "{event}");
    }
    assert_eq!(events[1]["data"]["changed_fields"], json!(["priority"]));
    assert_eq!(events[2]["data"]["completed"], true);
    assert_eq!(
        events[2]["data"]["completed_at"],
        events[2]["data"]["updated_at"]
    );
    assert_eq!(events[3]["data"]["was_completed"], true);
    assert_eq!(events[3]["data"]["due_date"], "2020-02-01T08:00:00.000000Z");
}

/// What Dapr makes of the header: the handlers' lines are found by the trace of the request that began it all.
#[test]
fn the_trace_of_a_request_reaches_the_handlers_and_what_they_emit() {
    let todo = TestUser::random();
    let task = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "daily"}));
    let trace = todo.complete(string_member(&task, "id")).expect(200).trace;
    wait_until_settled(&todo, Limit::DELIVERY);
    let events: Vec<Value> = ordered(&todo)
        .iter()
        .flat_map(|record| record.json())
        .collect();
    for event in &events {
        let of_the_completion = event["type"] == "task.completed" || event["subject"] != task["id"];
        let traceparent = event["traceparent"].as_str().unwrap_or_default();
        assert_eq!(traceparent.contains(&trace), of_the_completion, "{event}");
    }
    // The trace is stored beside the event, and added when the event is sent.
    for event in todo.stored_events() {
        assert!(event.get("traceparent").is_none(), "{event}");
    }
}

#[test]
fn a_change_that_changes_nothing_emits_nothing() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({"title": "t", "tags": ["a"]}));
    let id = string_member(&task, "id");
    todo.patch(id, json!({})).task(200);
    todo.patch(
        id,
        json!({"title": "t", "tags": ["a"], "description": null}),
    )
    .task(200);
    todo.reopen(id).task(200);
    todo.complete(id).task(200);
    todo.complete(id).task(200);
    todo.delete(id).expect(204);
    todo.delete(id).expect(404);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        types(&events),
        ["task.created", "task.completed", "task.deleted"]
    );
    ordered(&todo);
}
