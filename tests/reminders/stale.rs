//! A reminder whose moment comes while the task's last change has not yet been heard of, or just when it is changed.

use e2e::events::types;
use e2e::flow::{deliver, wait_until_settled};
use e2e::lanes;
use e2e::logs::lines_of;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    SWEEP, after, due, fire_job, id, in_days, notifications, notified, row, settled,
};

/// Lets the moment of a scheduled reminder be some seconds ago.
fn has_come(todo: &TestUser, task: &Value, seconds: i64) {
    let changed = todo.database().client().execute(
        "UPDATE reminders SET remind_at = now() - $2::text::interval, planned = ARRAY[now() - $2::text::interval]
        WHERE task_id::text = $1 AND status = 'scheduled'",
        &[&id(task), &format!("{seconds} s")],
    );
    assert!(matches!(changed, Ok(1)), "{changed:?}");
}

fn scheduled(todo: &TestUser) -> Value {
    let task = due(todo, &in_days(3));
    settled(todo, &task, "scheduled", Limit::DELIVERY);
    wait_until_settled(todo, Limit::DELIVERY);
    task
}

#[test]
fn a_reminder_whose_move_was_not_yet_handled_does_not_come_at_the_old_moment() {
    let todo = TestUser::random();
    let (moved, cleared) = (scheduled(&todo), scheduled(&todo));
    // What says so cannot be published.
    lanes::take(&todo);
    let new = in_days(9);
    todo.patch(id(&moved), json!({"due_date": new})).task(200);
    todo.patch(id(&cleared), json!({"due_date": null}))
        .task(200);
    let mut database = todo.database();
    for task in [&moved, &cleared] {
        has_come(&todo, task, 60);
        // Neither by its alarm nor by the sweep.
        fire_job(&todo, id(task)).expect(200);
        assert_eq!(row(&todo, task)["status"], "scheduled");
        let overdue = database.json("overdue_reminders(100000)", &[]);
        assert!(
            overdue
                .as_array()
                .is_some_and(|all| !all.contains(&task["id"])),
            "{overdue}"
        );
    }
    assert_eq!(database.lane_of(todo.user()), (6, 4));

    lanes::expire_lease(&todo);
    let events = wait_until_settled(&todo, Limit::RECOVERY);
    assert!(
        !types(&events).contains(&"reminder.triggered"),
        "{events:#?}"
    );
    let row = settled(&todo, &moved, "scheduled", Limit::DELIVERY);
    assert_eq!(row["remind_at"], after(&new, -24 * 3600).as_str());
    settled(&todo, &cleared, "cancelled", Limit::DELIVERY);
    assert_eq!(notifications(&todo).len(), 0);
}

/// The event is not even delivered, and if it is, by an earlier rule or a replay, it takes back nothing.
#[test]
fn an_edit_of_the_title_does_not_cancel_a_reminder_that_is_just_due() {
    let todo = TestUser::random();
    let task = scheduled(&todo);
    has_come(&todo, &task, 1);
    todo.patch(id(&task), json!({"title": "Water all plants"}))
        .task(200);
    let mut edited = todo.stored_events().pop().unwrap_or_default();
    assert_eq!(edited["type"], "task.updated");
    // After the moment, as the handler reckons it: a day before the due date.
    let late = after(&edited_due_date(&edited), -3600);
    edited["time"] = json!(late);
    edited["id"] = json!(Uuid::now_v7());
    deliver(&todo, "/api/events/reminders", &edited).expect(200);
    assert_ne!(row(&todo, &task)["status"], "cancelled");
    let notification = notified(&todo, &task, SWEEP);
    assert_eq!(notification["task_title"], "Water all plants");
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert!(
        !types(&events).contains(&"reminder.cancelled"),
        "{events:#?}"
    );
    assert_eq!(row(&todo, &task)["status"], "triggered");
}

fn edited_due_date(event: &Value) -> String {
    event["data"]["due_date"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_reminder_that_fails_rests_and_holds_up_no_other() {
    let poisoned = TestUser::random();
    let todo = TestUser::random();
    let (stuck, task) = (scheduled(&poisoned), scheduled(&todo));
    // Its event can have no number.
    lanes::change(
        &poisoned,
        "UPDATE lanes SET head = 9223372036854775807, published = 9223372036854775807 WHERE user_id = $1",
    );
    // The older one comes first.
    has_come(&poisoned, &stuck, 600);
    has_come(&todo, &task, 60);
    notified(&todo, &task, SWEEP);
    let rests = "SELECT rests_until > clock_timestamp() + interval '3 minutes' FROM reminders WHERE task_id::text = $1";
    let mut database = poisoned.database();
    until("it rests", SWEEP, || {
        match database.json(rests, &[id(&stuck)]) {
            Value::Bool(true) => Ok(()),
            other => Err(other),
        }
    });
    let mut lines = lines_of(poisoned.stack(), "event-relay", id(&stuck));
    lines.retain(|line| line["outcome"] == "rests");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["level"], "error", "{lines:?}");
    assert_eq!(notifications(&poisoned).len(), 0);

    // Mended and let go, it comes.
    lanes::change(
        &poisoned,
        "UPDATE lanes SET (head, published) = (SELECT max(sequence), max(sequence) FROM events WHERE events.user_id = lanes.user_id)
        WHERE user_id = $1",
    );
    lanes::change(
        &poisoned,
        "UPDATE reminders SET rests_until = NULL WHERE user_id = $1",
    );
    notified(&poisoned, &stuck, SWEEP);
}
