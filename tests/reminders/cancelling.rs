//! What takes a reminder back, and what brings it again.

use e2e::events::types;
use e2e::flow::wait_until_settled;
use e2e::test_user::TestUser;
use e2e::wait::Limit;
use serde_json::{Value, json};

use crate::support::{after, alarm, due, id, in_a_day, in_days, in_seconds, settled};

/// Creates a task with a reminder, lets `change` happen, and requires that this cancels the reminder for `reason`.
fn cancelled_by(reason: &str, change: impl Fn(&TestUser, &str)) -> (TestUser, Value) {
    let todo = TestUser::random();
    let task = due(&todo, &in_a_day());
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    assert!(alarm(&todo, &task).is_some());
    change(&todo, id(&task));
    let row = settled(&todo, &task, "cancelled", Limit::DELIVERY);
    assert_eq!(row["wanted"], Value::Null);
    assert_eq!(alarm(&todo, &task), None);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let Some(last) = events.last() else {
        panic!("no events");
    };
    assert_eq!(last["type"], "reminder.cancelled", "{events:#?}");
    assert_eq!(last["subject"], task["id"]);
    assert_eq!(last["data"]["reason"], reason);
    (todo, task)
}

#[test]
fn completing_a_task_cancels_its_reminder() {
    cancelled_by("completed", |todo, id| {
        todo.complete(id).task(200);
    });
}

#[test]
fn skipping_a_task_cancels_its_reminder() {
    let (todo, task) = cancelled_by("skipped", |todo, id| {
        // Only what recurs can be skipped; the last of its series has no next one.
        let last = json!({"recurrence": {"rule": "FREQ=DAILY;COUNT=1"}});
        todo.patch(id, last).task(200);
        todo.skip(id).task(200);
    });
    todo.reopen(id(&task)).task(200);
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
}

#[test]
fn deleting_a_task_cancels_its_reminder() {
    cancelled_by("deleted", |todo, id| {
        todo.delete(id).expect(204);
    });
}

#[test]
fn clearing_the_due_date_cancels_the_reminder() {
    let (todo, task) = cancelled_by("no_due_date", |todo, id| {
        todo.patch(id, json!({"due_date": null})).task(200);
    });
    // Nothing is left to be taken back.
    todo.complete(id(&task)).task(200);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY).len(), 5);
    let due_date = in_days(7);
    todo.reopen(id(&task)).task(200);
    todo.patch(id(&task), json!({"due_date": due_date}))
        .task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    let row = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    assert_eq!(row["remind_at"], after(&due_date, -24 * 3600).as_str());
}

#[test]
fn a_due_date_within_a_day_cancels_the_reminder() {
    cancelled_by("due_too_soon", |todo, id| {
        todo.patch(id, json!({"due_date": in_seconds(3600)}))
            .task(200);
    });
}

#[test]
fn reopening_a_task_schedules_its_reminder_again() {
    let (todo, task) = cancelled_by("completed", |todo, id| {
        todo.complete(id).task(200);
    });
    todo.reopen(id(&task)).task(200);
    let row = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    assert_eq!(row["due_date"], task["due_date"]);
    assert!(alarm(&todo, &task).is_some());
    assert_eq!(
        types(&wait_until_settled(&todo, Limit::DELIVERY)),
        [
            "task.created",
            "reminder.scheduled",
            "task.completed",
            "reminder.cancelled",
            "task.updated",
            "reminder.scheduled"
        ]
    );
}
