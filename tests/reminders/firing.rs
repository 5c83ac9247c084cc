//! A reminder's moment comes.

use std::thread;

use e2e::events::types;
use e2e::flow::{deliver, ordered, publish, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::endpoints::REMINDERS_TOPIC;
use uuid::Uuid;

use crate::support::{
    LEAD, RING, about, after, alarm, due, fire_job, id, in_days, in_seconds, lose_alarm, micros,
    moment, notifications, notifications_of, notified, now, row, set_alarm, settled,
    short_lead_stack, triggered_row,
};

const HANDLER: &str = "/api/events/reminders";

/// Lets a scheduled reminder come due now.
fn come_due(todo: &TestUser, task: &Value) {
    let changed = todo.database().client().execute(
        "UPDATE reminders SET remind_at = now(), planned = ARRAY[now()] WHERE task_id::text = $1 AND status = 'scheduled'",
        &[&id(task)],
    );
    assert!(matches!(changed, Ok(1)), "{changed:?}");
}

/// The events of a user that say that a reminder came due.
fn triggered(events: &[Value]) -> Vec<Value> {
    let triggered = events
        .iter()
        .filter(|event| event["type"] == "reminder.triggered");
    triggered.cloned().collect()
}

#[test]
fn a_due_reminder_becomes_one_notification() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let due_date = in_seconds(LEAD + 3);
    let task = due(&todo, &due_date);
    let notification = notified(&todo, &task, RING);
    let remind_at = after(&due_date, -LEAD);
    assert_eq!(notification["task_title"], "Water the plants");
    assert_eq!(notification["user_id"], todo.user());
    assert_eq!(notification["due_date"], due_date.as_str());
    assert_eq!(notification["remind_at"], remind_at.as_str());
    assert_eq!(notification["read"], false);
    assert_eq!(notification["read_at"], Value::Null);

    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        types(&events),
        ["task.created", "reminder.scheduled", "reminder.triggered"]
    );
    let scheduled = &events[1]["data"];
    assert_eq!(scheduled["remind_at"], remind_at.as_str());
    assert_eq!(scheduled["due_date"], due_date.as_str());
    let came = &events[2];
    // The alarm rang: the sweep would have come 5 s later.
    let late = micros(string_member(came, "time")) - micros(&remind_at);
    assert!(late < 5_000_000, "{late} µs late");
    assert_eq!(came["data"]["task_title"], "Water the plants");
    assert_eq!(came["data"]["due_date"], due_date.as_str());
    assert_eq!(came["data"]["remind_at"], remind_at.as_str());
    assert!(string_member(came, "time") >= remind_at.as_str(), "{came}");
    ordered(&todo);

    let settled = settled(&todo, &task, "triggered", Limit::SOON);
    assert_eq!(settled["wanted"], Value::Null);
    fire_job(&todo, id(&task)).expect(200);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), events);
}

#[test]
fn a_moved_reminder_comes_at_the_new_moment_only() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let old = in_seconds(LEAD + 4);
    let task = due(&todo, &old);
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let new = after(&old, 8);
    todo.patch(id(&task), json!({"due_date": new})).task(200);
    // Comes between the two moments, when the old alarm would have rung.
    let between = due(&todo, &after(&old, 3));

    notified(&todo, &between, RING);
    assert_eq!(notifications(&todo).len(), 1);
    assert_eq!(row(&todo, &task)["status"], "scheduled");
    let notification = notified(&todo, &task, RING);
    assert_eq!(notification["remind_at"], after(&new, -LEAD).as_str());
    let events = about(&wait_until_settled(&todo, Limit::DELIVERY), &task);
    assert_eq!(
        types(&events),
        [
            "task.created",
            "reminder.scheduled",
            "task.updated",
            "reminder.scheduled",
            "reminder.triggered"
        ]
    );
}

#[test]
fn a_completed_or_deleted_task_has_no_reminder() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let due_date = in_seconds(LEAD + 6);
    let [completed, deleted, cleared] = [(); 3].map(|()| due(&todo, &due_date));
    for task in [&completed, &deleted, &cleared] {
        settled(&todo, task, "scheduled", Limit::DELIVERY);
    }
    todo.complete(id(&completed)).task(200);
    todo.delete(id(&deleted)).expect(204);
    todo.patch(id(&cleared), json!({"due_date": null}))
        .task(200);
    let last = due(&todo, &after(&due_date, 2));
    for task in [&completed, &deleted, &cleared] {
        settled(&todo, task, "cancelled", Limit::DELIVERY);
        assert_eq!(alarm(&todo, task), None);
    }
    // Comes later than theirs would have.
    notified(&todo, &last, RING);
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(notifications(&todo).len(), 1);
}

#[test]
fn the_scheduler_lost_the_alarm_and_the_sweep_triggers_it_within_a_minute() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let due_date = in_seconds(LEAD + 6);
    let task = due(&todo, &due_date);
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    lose_alarm(&todo, &task);
    notified(&todo, &task, crate::support::SWEEP);
    let late = now() - micros(&due_date) + LEAD * 1_000_000;
    assert!(late < 60_000_000, "{late} µs late");
    let came = triggered(&wait_until_settled(&todo, Limit::DELIVERY));
    assert_eq!(came.len(), 1);
}

#[test]
fn a_triggered_event_delivered_many_times_makes_one_notification() {
    let todo = TestUser::random();
    let task = due(&todo, &in_days(3));
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    come_due(&todo, &task);
    // The job fires eight times at once, while the relay may sweep.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| fire_job(&todo, id(&task)).expect(200));
        }
    });
    fire_job(&todo, id(&task)).expect(200);
    notified(&todo, &task, Limit::DELIVERY);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let came = triggered(&events);
    assert_eq!(came.len(), 1, "{events:#?}");

    // So is the event, by any way.
    deliver(&todo, HANDLER, &came[0]).expect(200);
    publish(&todo, REMINDERS_TOPIC, &came[0]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let answer = deliver(&todo, HANDLER, &came[0]).expect(200);
                assert_eq!(answer.json(), json!({"status": "SUCCESS"}));
            });
        }
    });
    // Nor does another event make a second one of the same moment.
    let mut another = came[0].clone();
    another["id"] = json!(Uuid::now_v7());
    deliver(&todo, HANDLER, &another).expect(200);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), events);
    assert_eq!(notifications_of(&todo, &task).len(), 1);
}

#[test]
fn many_deliveries_at_once_of_an_event_not_seen_before_make_one_notification() {
    let todo = TestUser::random();
    let (task, remind_at) = (Uuid::now_v7(), moment(now()));
    triggered_row(&todo, task, &remind_at, &in_days(1));
    let event = json!({
        "specversion": "1.0", "id": Uuid::now_v7(), "source": "/todo/test", "type": "reminder.triggered",
        "time": moment(now()), "datacontenttype": "application/json", "sequence": "00000000000000000002",
        "data": {
            "task_id": task, "user_id": todo.user(), "task_title": "t", "remind_at": remind_at,
            "due_date": in_days(1), "timestamp": moment(now()),
        },
    });
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| deliver(&todo, HANDLER, &event).expect(200));
        }
    });
    assert_eq!(notifications(&todo).len(), 1);
}

/// What an event says is believed only as far as the reminder's row says the same.
#[test]
fn nobody_is_notified_of_another_users_task() {
    let owner = TestUser::random();
    let todo = TestUser::random();
    let (task, remind_at) = (Uuid::now_v7(), moment(now()));
    triggered_row(&owner, task, &remind_at, &in_days(1));
    for (user, remind_at) in [
        (todo.user(), remind_at.clone()),
        (owner.user(), moment(now() - 1_000_000)),
    ] {
        let event = json!({
            "specversion": "1.0", "id": Uuid::now_v7(), "source": "/todo/test", "type": "reminder.triggered",
            "time": moment(now()), "datacontenttype": "application/json", "sequence": "00000000000000000002",
            "data": {
                "task_id": task, "user_id": user, "task_title": "t", "remind_at": remind_at,
                "due_date": in_days(1), "timestamp": moment(now()),
            },
        });
        deliver(&todo, HANDLER, &event).expect(200);
    }
    assert_eq!(notifications(&todo).len(), 0);
    assert_eq!(notifications(&owner).len(), 0);
}

#[test]
fn an_alarm_that_rings_too_early_is_set_again() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let task = due(&todo, &in_seconds(LEAD + 1800));
    let before = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    // A job that has fired is gone.
    lose_alarm(&todo, &task);
    assert_eq!(
        fire_job(&todo, id(&task)).expect(200).json()["status"],
        "SUCCESS"
    );
    until("the alarm is set again", Limit::SOON, || {
        alarm(&todo, &task).ok_or("no alarm")
    });
    assert_eq!(settled(&todo, &task, "scheduled", Limit::SOON), before);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), events);
    assert_eq!(notifications(&todo).len(), 0);
}

#[test]
fn an_alarm_up_to_five_seconds_early_counts() {
    let todo = TestUser::random();
    let task = due(&todo, &in_days(3));
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let set = |seconds: &str| {
        let changed = todo.database().client().execute(
            "UPDATE reminders SET remind_at = now() + $2::text::interval, planned = ARRAY[now() + $2::text::interval]
            WHERE task_id::text = $1",
            &[&id(&task), &seconds],
        );
        assert!(matches!(changed, Ok(1)), "{changed:?}");
    };
    set("8 seconds");
    fire_job(&todo, id(&task)).expect(200);
    assert_eq!(row(&todo, &task)["status"], "scheduled");
    set("4.9 seconds");
    fire_job(&todo, id(&task)).expect(200);
    assert_eq!(row(&todo, &task)["status"], "triggered");
    notified(&todo, &task, Limit::DELIVERY);
}

#[test]
fn an_alarm_of_a_finished_or_unknown_task_means_nothing() {
    let todo = TestUser::random();
    let [cancelled, finished, deleted] = [(); 3].map(|()| due(&todo, &in_days(3)));
    for task in [&cancelled, &finished, &deleted] {
        settled(&todo, task, "scheduled", Limit::DELIVERY);
    }
    todo.complete(id(&cancelled)).task(200);
    settled(&todo, &cancelled, "cancelled", Limit::DELIVERY);
    // Finished a moment ago: the handler of reminders has not heard of it.
    let mut database = todo.database();
    for (statement, task) in [
        (
            "UPDATE tasks SET completed = true, completed_at = now() WHERE id::text = $1",
            &finished,
        ),
        ("DELETE FROM tasks WHERE id::text = $1", &deleted),
    ] {
        let changed = database.client().execute(statement, &[&id(task)]);
        assert!(matches!(changed, Ok(1)), "{changed:?}");
        come_due(&todo, task);
    }
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let unknown = Uuid::now_v7().to_string();
    for task_id in [id(&cancelled), id(&finished), id(&deleted), &unknown] {
        let answer = fire_job(&todo, task_id).expect(200);
        assert_eq!(answer.json(), json!({"status": "SUCCESS"}));
    }
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), events);
    assert_eq!(notifications(&todo).len(), 0);
    // And one that no task has.
    fire_job(&todo, "x").problem(404, "not-found");
}

#[test]
fn an_alarm_without_a_reminder_does_no_harm() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let task = due(&todo, &in_seconds(LEAD + 1_000));
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    todo.complete(id(&task)).task(200);
    settled(&todo, &task, "cancelled", Limit::DELIVERY);
    set_alarm(&todo, &task, &in_seconds(1));
    until("the alarm rings", RING, || match alarm(&todo, &task) {
        None => Ok(()),
        Some(_) => Err("it has not rung"),
    });
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(row(&todo, &task)["status"], "cancelled");
    assert_eq!(notifications(&todo).len(), 0);
}
