//! Which tasks have a reminder, and when.

use e2e::events::types;
use e2e::flow::{deliver, publish, successor, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;
use uuid::Uuid;

use crate::support::{
    about, after, alarm, due, id, in_days, in_seconds, micros, moment, notified, now, row, settled,
};

const DAY: i64 = 24 * 3600;
const HANDLER: &str = "/api/events/reminders";

#[test]
fn a_task_due_in_more_than_a_day_has_a_reminder_a_day_before() {
    let todo = TestUser::random();
    let due_date = in_days(3);
    let task = due(&todo, &due_date);
    let row = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let remind_at = after(&due_date, -DAY);
    assert_eq!(row["remind_at"], remind_at.as_str());
    assert_eq!(row["due_date"], due_date.as_str());
    assert_eq!(row["wanted"], remind_at.as_str());
    assert_eq!(row["sequence"], 1);
    // Months ahead the scheduler need not know of it.
    assert_eq!(alarm(&todo, &task), None);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(types(&events), ["task.created", "reminder.scheduled"]);
    assert_eq!(events[1]["causationid"], events[0]["id"]);
    assert_eq!(events[1]["subject"], task["id"]);
}

#[test]
fn a_task_without_a_due_date_or_due_within_a_day_has_no_reminder() {
    let todo = TestUser::random();
    let tasks = [
        todo.created("t"),
        due(&todo, &in_seconds(DAY - 5)),
        due(&todo, &in_seconds(-DAY)),
    ];
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(events.len(), 3, "{events:#?}");
    for task in &tasks {
        assert_without_moment(&todo, task);
        assert_eq!(alarm(&todo, task), None);
    }
}

/// Requires that a task has no reminder and never had one, and no row.
fn assert_without_moment(todo: &TestUser, task: &Value) {
    assert_eq!(row(todo, task), Value::Null);
}

#[test]
fn an_event_replayed_after_a_later_one_took_the_due_date_away_schedules_nothing() {
    let todo = TestUser::random();
    todo.created("another");
    let task = todo.created("t");
    let before = wait_until_settled(&todo, Limit::DELIVERY);
    // What came before it, as if no handler could deal with it at the time.
    let mut event = about(&before, &task)[0].clone();
    event["id"] = json!(Uuid::now_v7());
    event["sequence"] = json!("00000000000000000001");
    event["data"]["due_date"] = json!(in_days(3));
    deliver(&todo, HANDLER, &event).expect(200);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), before);
    assert_without_moment(&todo, &task);
}

#[test]
fn a_changed_due_date_moves_the_reminder_and_a_changed_title_does_not() {
    let todo = TestUser::random();
    let task = due(&todo, &in_days(3));
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let due_date = in_seconds(DAY + 1800);
    todo.patch(id(&task), json!({"due_date": due_date}))
        .task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    let moved = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let remind_at = after(&due_date, -DAY);
    assert_eq!(moved["remind_at"], remind_at.as_str());
    // The scheduler counts in seconds or finer.
    let rings = alarm(&todo, &task).unwrap_or_default();
    assert!((rings - micros(&remind_at)).abs() < 1_000_000, "{rings}");

    todo.patch(id(&task), json!({"title": "another"})).task(200);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        types(&events),
        [
            "task.created",
            "reminder.scheduled",
            "task.updated",
            "reminder.scheduled",
            "task.updated"
        ]
    );
    assert_eq!(events[3]["data"]["remind_at"], remind_at.as_str());
    assert_eq!(events[3]["data"]["due_date"], due_date.as_str());
}

#[test]
fn a_generated_task_gets_its_own_reminder() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "weekly", "due_date": in_days(3),
    }));
    wait_until_settled(&todo, Limit::DELIVERY);
    todo.complete(id(&task)).task(200);
    let next = successor(&todo, &task);
    wait_until_settled(&todo, Limit::DELIVERY);
    settled(&todo, &task, "cancelled", Limit::DELIVERY);
    let row = settled(&todo, &next, "scheduled", Limit::DELIVERY);
    assert_eq!(
        row["remind_at"],
        after(string_member(&next, "due_date"), -DAY).as_str()
    );
    assert!(alarm(&todo, &task).is_none());
}

#[test]
fn an_older_event_that_comes_later_changes_nothing() {
    let todo = TestUser::random();
    let task = due(&todo, &in_days(3));
    wait_until_settled(&todo, Limit::DELIVERY);
    todo.patch(id(&task), json!({"due_date": in_days(5)}))
        .task(200);
    let before = wait_until_settled(&todo, Limit::DELIVERY);
    let kept = settled(&todo, &task, "scheduled", Limit::DELIVERY);

    let old = about(&before, &task)[0].clone();
    let mut unseen = old.clone();
    unseen["id"] = json!(Uuid::now_v7());
    let mut completed = unseen.clone();
    completed["id"] = json!(Uuid::now_v7());
    completed["type"] = json!("task.completed");
    completed["data"]["completed"] = json!(true);
    // The newest again, as it was and under another id.
    let newest = before[2].clone();
    let mut equal = newest.clone();
    equal["id"] = json!(Uuid::now_v7());
    equal["data"]["due_date"] = json!(in_days(9));
    for event in [&old, &unseen, &completed, &newest, &equal] {
        deliver(&todo, HANDLER, event).expect(200);
    }
    publish(&todo, TASKS_TOPIC, &unseen);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), before);
    assert_eq!(row(&todo, &task), kept);
}

/// An event about a task that was due in `due_in` seconds, as if it had been created three days ago.
fn late_event(todo: &TestUser, due_in: i64) -> (Value, Value) {
    let task = due(todo, &in_seconds(due_in));
    let mut event = wait_until_settled(todo, Limit::DELIVERY).remove(0);
    event["id"] = json!(Uuid::now_v7());
    event["sequence"] = json!("00000000000000000002");
    event["time"] = json!(moment(now() - 3 * DAY * 1_000_000));
    (task, event)
}

#[test]
fn a_reminder_whose_moment_passed_before_the_due_date_comes_at_once() {
    let todo = TestUser::random();
    let (task, event) = late_event(&todo, DAY / 2);
    assert_without_moment(&todo, &task);
    deliver(&todo, HANDLER, &event).expect(200);
    notified(&todo, &task, Limit::DELIVERY);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        types(&events),
        ["task.created", "reminder.scheduled", "reminder.triggered"]
    );
}

#[test]
fn an_event_handled_after_the_due_date_schedules_no_reminder() {
    let todo = TestUser::random();
    let (task, event) = late_event(&todo, -1);
    let before = wait_until_settled(&todo, Limit::DELIVERY);
    deliver(&todo, HANDLER, &event).expect(200);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), before);
    assert_without_moment(&todo, &task);
}

#[test]
fn the_last_instant_of_a_due_date_is_no_trouble() {
    let todo = TestUser::random();
    let task = due(&todo, "9998-12-31T23:59:59Z");
    let row = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    assert_eq!(row["remind_at"], "9998-12-30T23:59:59.000000Z");
}
