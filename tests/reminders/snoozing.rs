//! `POST /api/{user_id}/notifications/{id}/snooze`: a notification is put off.

use std::thread;

use e2e::answer::Answer;
use e2e::events::types;
use e2e::flow::wait_until_settled;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};

use crate::support::{
    LEAD, RING, SWEEP, after, alarm, due, fire_job, id, in_days, in_seconds, notifications_of,
    notified, row, settled, short_lead_stack,
};

fn snooze(todo: &TestUser, notification: &str, body: &Value) -> Answer {
    let path = todo.tasks_path().replace("/tasks", "/notifications");
    todo.call("POST", format!("{path}/{notification}/snooze"))
        .json(body)
        .send()
}

/// A task that its user was reminded of, and the id of the notification. Due later, so that its reminder is not the lead's.
fn reminded(todo: &TestUser) -> (Value, String) {
    let task = todo.created_with(json!({
        "title": "Water the plants", "due_date": in_days(3), "reminders": [{"at": in_seconds(5)}],
    }));
    let notification = notified(todo, &task, SWEEP);
    wait_until_settled(todo, Limit::DELIVERY);
    (task, id(&notification).to_owned())
}

/// The notification of a task whose moment this is.
fn notified_at(todo: &TestUser, task: &Value, moment: &str) -> Value {
    until("a notification", SWEEP, || {
        let all = notifications_of(todo, task);
        all.iter()
            .find(|notification| notification["remind_at"] == moment)
            .cloned()
            .ok_or_else(|| json!(all))
    })
}

#[test]
fn a_snoozed_notification_comes_again_after_the_time() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let task = due(&todo, &in_seconds(LEAD + 12));
    let first = notified(&todo, &task, RING);
    assert_eq!(first["snoozed_until"], Value::Null);
    // Beyond the due date, too.
    let snoozed = snooze(&todo, id(&first), &json!({"for": "PT8S"}))
        .expect(200)
        .json();
    let moment = string_member(&snoozed, "snoozed_until").to_owned();
    assert_eq!(snoozed["read"], true);
    assert_eq!(snoozed["remind_at"], first["remind_at"]);
    let again = notified_at(&todo, &task, &moment);
    assert_eq!(
        (&again["read"], &again["due_date"]),
        (&json!(false), &task["due_date"])
    );
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let expected = [
        "task.created",
        "reminder.scheduled",
        "reminder.triggered",
        "reminder.scheduled",
        "reminder.triggered",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(events[3]["data"]["moments"], json!([moment]));
    assert_eq!(notifications_of(&todo, &task).len(), 2);
    // And that one can be put off in its turn.
    snooze(&todo, id(&again), &json!({"until": in_days(1)})).expect(200);
    settled(&todo, &task, "scheduled", Limit::SOON);
}

#[test]
fn a_snoozed_notifications_alarm_moves_when_it_is_snoozed_again() {
    let todo = TestUser::random();
    let (task, notification) = reminded(&todo);
    let (first, second) = (in_seconds(900), in_seconds(1800));
    for moment in [&first, &second] {
        let snoozed = snooze(&todo, &notification, &json!({"until": moment}))
            .expect(200)
            .json();
        assert_eq!(snoozed["snoozed_until"], moment.as_str());
        let reminder = settled(&todo, &task, "scheduled", Limit::RECOVERY);
        assert_eq!(reminder["remind_at"], moment.as_str());
        assert_eq!(alarm(&todo, &task), Some(crate::support::micros(moment)));
    }
    // The same once more is no change.
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    snooze(&todo, &notification, &json!({"until": second})).expect(200);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), events);
    // The alarm of the first moment means nothing.
    fire_job(&todo, id(&task)).expect(200);
    assert_eq!(row(&todo, &task)["status"], "scheduled");
}

#[test]
fn planned_reminders_and_those_put_off_do_not_disturb_each_other() {
    let todo = TestUser::random();
    let (task, notification) = reminded(&todo);
    let (put_off, planned) = (in_days(1), in_days(2));
    snooze(&todo, &notification, &json!({"until": put_off})).expect(200);
    todo.patch(
        id(&task),
        json!({"title": "Water all plants", "reminders": [{"at": planned}]}),
    )
    .task(200);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let last = events.last().cloned().unwrap_or_default();
    assert_eq!(
        last["data"]["moments"],
        json!([put_off, planned]),
        "{events:#?}"
    );
    // Put off to the very moment that is planned, and away again.
    snooze(&todo, &notification, &json!({"until": planned})).expect(200);
    snooze(&todo, &notification, &json!({"until": put_off})).expect(200);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let last = events.last().cloned().unwrap_or_default();
    assert_eq!(
        last["data"]["moments"],
        json!([put_off, planned]),
        "{events:#?}"
    );
}

#[test]
fn a_new_due_date_or_the_end_of_the_task_cancels_a_snooze() {
    let todo = TestUser::random();
    let (moved, first) = reminded(&todo);
    let (ended, second) = reminded(&todo);
    for notification in [&first, &second] {
        snooze(&todo, notification, &json!({"for": "PT1H"})).expect(200);
    }
    todo.patch(id(&moved), json!({"due_date": in_days(9), "reminders": []}))
        .task(200);
    todo.complete(id(&ended)).task(200);
    for task in [&moved, &ended] {
        let reminder = settled(&todo, task, "cancelled", Limit::DELIVERY);
        assert_eq!(reminder["wanted"], Value::Null);
    }
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let problem = |notification: &str| {
        let answer = snooze(&todo, notification, &json!({"for": "PT1H"})).expect(409);
        string_member(&answer.json(), "type").replace("urn:todo-events:problem:", "")
    };
    assert_eq!(problem(&first), "due-date-changed");
    assert_eq!(problem(&second), "not-open");
    todo.delete(id(&ended)).expect(204);
    assert_eq!(problem(&second), "not-open");
    assert_eq!(
        wait_until_settled(&todo, Limit::DELIVERY).len(),
        events.len() + 1
    );
}

#[test]
fn a_snooze_that_makes_no_sense_changes_nothing() {
    let todo = TestUser::random();
    let (task, notification) = reminded(&todo);
    let before = (row(&todo, &task), notifications_of(&todo, &task));
    for (body, expected) in [
        (json!({}), ""),
        (json!({"for": "PT5M", "until": in_days(1)}), ""),
        (json!({"for": "5 minutes"}), "/for"),
        (json!({"for": "PT0S"}), "/for"),
        (json!({"for": "P367D"}), "/for"),
        (json!({"until": in_seconds(-1)}), "/until"),
        (json!({"until": in_days(367)}), "/until"),
        (json!({"for": "PT5M", "why": "busy"}), "/why"),
    ] {
        assert_eq!(
            snooze(&todo, &notification, &body).violations(),
            [expected],
            "{body}"
        );
    }
    let body = json!({"for": "PT5M"});
    for nobodys in ["018f0000-0000-7000-8000-000000000000", "x"] {
        snooze(&todo, nobodys, &body).expect(404);
    }
    snooze(&TestUser::random(), &notification, &body).expect(404);
    assert_eq!((row(&todo, &task), notifications_of(&todo, &task)), before);
}

#[test]
fn many_snoozes_at_once_are_one() {
    let todo = TestUser::random();
    let (task, notification) = reminded(&todo);
    let events = wait_until_settled(&todo, Limit::DELIVERY).len();
    let moment = in_days(1);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| snooze(&todo, &notification, &json!({"until": moment})).expect(200));
        }
    });
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY).len(), events + 1);
    assert_eq!(row(&todo, &task)["remind_at"], moment.as_str());
}

#[test]
fn five_notifications_of_a_task_may_be_snoozed() {
    let todo = TestUser::random();
    let (task, first) = reminded(&todo);
    let inserted = todo.database().client().execute(
        "INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, due_date)
        SELECT gen_random_uuid(), user_id, task_id, task_title, remind_at - n * interval '1 day', due_date
        FROM notifications, generate_series(1, 5) AS n WHERE id::text = $1",
        &[&first.as_str()],
    );
    assert!(matches!(inserted, Ok(5)), "{inserted:?}");
    let all = notifications_of(&todo, &task);
    let body = |n: usize| json!({"for": format!("PT{}H", n + 1)});
    for (n, notification) in all[..5].iter().enumerate() {
        snooze(&todo, id(notification), &body(n)).expect(200);
    }
    let problem = snooze(&todo, id(&all[5]), &body(5)).expect(409).json();
    assert_eq!(problem["type"], "urn:todo-events:problem:too-many-snoozed");
    // Those that are may be moved.
    snooze(&todo, id(&all[0]), &body(9)).expect(200);
}

/// Rows of reminders that have come are deleted after some days; notifications stay longer.
#[test]
fn an_old_notification_can_be_snoozed() {
    let todo = TestUser::random();
    let (task, notification) = reminded(&todo);
    let deleted = todo.database().client().execute(
        "DELETE FROM reminders WHERE task_id::text = $1",
        &[&id(&task)],
    );
    assert!(matches!(deleted, Ok(1)), "{deleted:?}");
    let snoozed = snooze(&todo, &notification, &json!({"for": "PT2S"}))
        .expect(200)
        .json();
    let again = notified_at(&todo, &task, string_member(&snoozed, "snoozed_until"));
    assert_ne!(again["id"], notification);
    // A change of the task is newer than the new row.
    todo.patch(id(&task), json!({"reminders": [{"before": "PT1H"}]}))
        .task(200);
    let reminder = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    assert_eq!(
        reminder["remind_at"],
        after(string_member(&task, "due_date"), -3600).as_str()
    );
}
