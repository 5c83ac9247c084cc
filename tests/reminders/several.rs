//! Reminders that a task has of its own.

use e2e::events::types;
use e2e::flow::{deliver, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    RING, about, after, alarm, id, in_days, in_seconds, lose_alarm, micros, notifications_of, row,
    settled, short_lead_stack,
};

/// Creates a task with reminders of its own.
fn with_reminders(todo: &TestUser, due_date: &str, reminders: &Value) -> Value {
    todo.created_with(
        json!({"title": "Water the plants", "due_date": due_date, "reminders": reminders}),
    )
}

/// Waits until a task has this many notifications. Returns their moments, in order.
fn notified_at(todo: &TestUser, task: &Value, count: usize) -> Vec<String> {
    until("notifications", RING, || {
        let mut moments: Vec<String> = notifications_of(todo, task)
            .iter()
            .map(|notification| string_member(notification, "remind_at").to_owned())
            .collect();
        moments.sort_unstable();
        if moments.len() == count {
            Ok(moments)
        } else {
            Err(format!("{moments:?}"))
        }
    })
}

#[test]
fn each_of_several_reminders_becomes_a_notification_at_its_moment() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let (first, second) = (in_seconds(10), in_seconds(14));
    let due_date = after(&second, 60);
    let reminders = json!([{"before": "PT1M"}, {"at": first}]);
    let task = with_reminders(&todo, &due_date, &reminders);
    assert_eq!(task["reminders"], reminders);

    assert_eq!(
        notified_at(&todo, &task, 2),
        [first.clone(), second.clone()]
    );
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let expected = [
        "task.created",
        "reminder.scheduled",
        "reminder.triggered",
        "reminder.triggered",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(events[0]["data"]["reminders"], reminders);
    let scheduled = &events[1]["data"];
    assert_eq!(scheduled["remind_at"], first.as_str());
    assert_eq!(scheduled["moments"], json!([first, second]));
    for (event, moment) in events[2..].iter().zip([&first, &second]) {
        assert_eq!(event["data"]["remind_at"], moment.as_str());
        assert_eq!(event["data"]["due_date"], due_date.as_str());
        // The alarm rang, the second too: the sweep would have come 5 s later.
        let late = micros(string_member(event, "time")) - micros(moment);
        assert!((0..5_000_000).contains(&late), "{late} µs late");
    }
    settled(&todo, &task, "triggered", Limit::SOON);
}

#[test]
fn five_reminders_come_in_order_and_the_alarm_is_for_the_next() {
    let todo = TestUser::random();
    let due_date = in_days(3);
    let reminders = json!([
        {"before": "PT0S"}, {"before": "P1W"}, {"before": "PT30M"}, {"before": "P1DT12H"}, {"at": after(&due_date, 3600)},
    ]);
    let task = with_reminders(&todo, &due_date, &reminders);
    let reminder = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    // A week before the due date was four days ago.
    let moments = [-36 * 3600, -1800, 0, 3600].map(|seconds| after(&due_date, seconds));
    assert_eq!(events[1]["data"]["moments"], json!(moments));
    assert_eq!(reminder["remind_at"], moments[0].as_str());
    todo.complete(id(&task)).task(200);
    settled(&todo, &task, "cancelled", Limit::DELIVERY);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        types(&events[2..]),
        ["task.completed", "reminder.cancelled"]
    );
}

#[test]
fn a_task_may_want_no_reminders_or_the_default_again() {
    let todo = TestUser::random();
    let due_date = in_days(3);
    let task = with_reminders(&todo, &due_date, &json!([]));
    assert_eq!(task["reminders"], json!([]));
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(row(&todo, &task), Value::Null);

    let change = |reminders: Value| {
        todo.patch(id(&task), json!({"reminders": reminders}))
            .task(200)
    };
    change(Value::Null);
    let by_lead = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    assert_eq!(by_lead["remind_at"], after(&due_date, -24 * 3600).as_str());
    change(json!([{"before": "PT2H"}]));
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        row(&todo, &task)["remind_at"],
        after(&due_date, -7200).as_str()
    );
    change(json!([]));
    settled(&todo, &task, "cancelled", Limit::DELIVERY);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let changed: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "task.updated")
        .collect();
    assert!(
        changed
            .iter()
            .all(|event| event["data"]["changed_fields"] == json!(["reminders"])),
        "{changed:#?}"
    );
    let last = events.last().map(|event| event["data"]["reason"].clone());
    assert_eq!(last, Some(json!("none_wanted")));
}

#[test]
fn a_reminder_that_came_is_not_repeated_when_another_is_added() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let (first, due_date) = (in_seconds(3), in_days(1));
    let task = with_reminders(
        &todo,
        &due_date,
        &json!([{"at": first}, {"before": "PT1H"}]),
    );
    notified_at(&todo, &task, 1);
    let reminder = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    assert_eq!(reminder["remind_at"], after(&due_date, -3600).as_str());

    // Said once more, and by an event that claims to be of before it came.
    let reminders = json!([{"at": first}, {"before": "PT2H"}]);
    todo.patch(id(&task), json!({"reminders": reminders}))
        .task(200);
    let mut events = wait_until_settled(&todo, Limit::DELIVERY);
    let mut late = events
        .iter()
        .rfind(|event| event["type"] == "task.updated")
        .cloned()
        .unwrap_or_default();
    late["id"] = json!(Uuid::now_v7());
    late["sequence"] = json!(format!("{:020}", events.len() + 100));
    late["time"] = json!(after(&first, -1));
    deliver(&todo, "/api/events/reminders", &late).expect(200);
    events = wait_until_settled(&todo, Limit::DELIVERY);
    let triggered: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "reminder.triggered")
        .collect();
    assert_eq!(triggered.len(), 1, "{events:#?}");
    assert_eq!(
        row(&todo, &task)["remind_at"],
        after(&due_date, -7200).as_str()
    );
    assert_eq!(notifications_of(&todo, &task).len(), 1);
}

#[test]
fn a_change_of_other_reminders_does_not_cancel_one_that_is_just_due() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let (first, due_date) = (in_seconds(12), in_days(1));
    let task = with_reminders(
        &todo,
        &due_date,
        &json!([{"at": first}, {"before": "PT1H"}]),
    );
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    // Until the sweep comes, 5 s later.
    lose_alarm(&todo, &task);
    until("its moment", RING, || {
        if in_seconds(0) > first {
            Ok(())
        } else {
            Err(in_seconds(0))
        }
    });
    todo.patch(id(&task), json!({"reminders": [{"before": "PT2H"}]}))
        .task(200);
    assert_eq!(notified_at(&todo, &task, 1), [first]);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert!(
        !types(&events).contains(&"reminder.cancelled"),
        "{events:#?}"
    );
    assert_eq!(
        row(&todo, &task)["remind_at"],
        after(&due_date, -7200).as_str()
    );
}

#[test]
fn the_next_instance_keeps_the_distance_of_its_reminders() {
    let todo = TestUser::random();
    let due_date = in_days(3);
    let task = todo.created_with(json!({
        "title": "Water the plants", "due_date": due_date, "recurrence": {"rule": "FREQ=DAILY;INTERVAL=5"},
        "reminders": [{"before": "PT30M"}, {"at": after(&due_date, -7200)}],
    }));
    todo.complete(id(&task)).task(200);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let pending = todo.listed("status=pending");
    assert_eq!(pending.len(), 1, "{pending:#?}");
    let next = &pending[0];
    let due_date = after(&due_date, 5 * 86_400);
    assert_eq!(next["due_date"], due_date.as_str());
    let expected = json!([{"before": "PT30M"}, {"at": after(&due_date, -7200)}]);
    assert_eq!(next["reminders"], expected);
    let scheduled = about(&events, next);
    let moments = [-7200, -1800].map(|seconds| after(&due_date, seconds));
    assert_eq!(scheduled[1]["data"]["moments"], json!(moments));
}

#[test]
fn a_new_due_date_moves_relative_reminders_and_leaves_instants() {
    let todo = TestUser::random();
    let (instant, due_date) = (in_days(2), in_days(3));
    let task = with_reminders(
        &todo,
        &due_date,
        &json!([{"before": "PT1H"}, {"at": instant}]),
    );
    wait_until_settled(&todo, Limit::DELIVERY);
    let due_date = in_days(9);
    todo.patch(id(&task), json!({"due_date": due_date}))
        .task(200);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let moved = &events[3]["data"];
    assert_eq!(moved["moments"], json!([instant, after(&due_date, -3600)]));
    assert_eq!(moved["due_date"], due_date.as_str());
    // What is left with the due date goes with it.
    todo.patch(id(&task), json!({"due_date": null})).task(200);
    settled(&todo, &task, "cancelled", Limit::DELIVERY);
    assert_eq!(alarm(&todo, &task), None);
}

#[test]
fn reminders_without_a_due_date_are_refused() {
    let todo = TestUser::random();
    let reminders = json!([{"at": in_days(1)}]);
    let refused = todo
        .create(json!({"title": "t", "reminders": reminders}))
        .violations();
    assert_eq!(refused, ["/reminders"]);
    let task = todo.created("t");
    let refused = todo
        .patch(id(&task), json!({"reminders": reminders}))
        .violations();
    assert_eq!(refused, ["/reminders"]);
    let both = json!({"reminders": reminders, "due_date": in_days(2)});
    todo.patch(id(&task), both).task(200);
}

/// A rollout mixes versions.
#[test]
fn a_handler_of_the_version_before_does_not_mistake_several_reminders() {
    let todo = TestUser::random();
    let due_date = in_days(3);
    let (own, by_lead) = (
        with_reminders(&todo, &due_date, &json!([{"before": "PT1H"}])),
        with_reminders(&todo, &due_date, &Value::Null),
    );
    wait_until_settled(&todo, Limit::DELIVERY);
    let apply = |task: &Value| {
        let statement = "SELECT apply_reminder(
            gen_random_uuid(), 1000, $1, $2::text::uuid, $3::text::timestamptz, $3::text::timestamptz, NULL,
            jsonb_build_object('event_id', gen_random_uuid(), 'sidecar', 'before', 'token', gen_random_uuid())
        )";
        todo.database()
            .client()
            .execute(statement, &[&todo.user(), &id(task), &due_date.as_str()])
    };
    assert!(apply(&own).is_err());
    assert_eq!(
        row(&todo, &own)["remind_at"],
        after(&due_date, -3600).as_str()
    );
    assert!(apply(&by_lead).is_ok());
    assert_eq!(row(&todo, &by_lead)["remind_at"], due_date.as_str());
}
