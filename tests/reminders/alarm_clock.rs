//! A crash between a reminder's row and its job, which the relay's sweep repairs.

use e2e::flow::wait_until_settled;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use serde_json::Value;

use crate::support::{alarm, due, id, in_a_day, in_days, lose_alarm, set_alarm, settled};

/// Writes into the row what the alarm is thought to be, an hour ago.
fn claim_set(todo: &TestUser, task: &Value, set: Option<&str>) {
    let changed = todo.database().client().execute(
        "UPDATE reminders SET alarm_set = $2::text::timestamptz, updated_at = now() - interval '1 hour'
        WHERE task_id::text = $1",
        &[&id(task), &set],
    );
    assert!(matches!(changed, Ok(1)), "{changed:?}");
}

#[test]
fn the_sweep_sets_an_alarm_that_was_not_set() {
    let todo = TestUser::random();
    let task = due(&todo, &in_a_day());
    let row = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let before = wait_until_settled(&todo, Limit::DELIVERY);
    let rings = alarm(&todo, &task);
    lose_alarm(&todo, &task);
    claim_set(&todo, &task, None);
    assert_eq!(settled(&todo, &task, "scheduled", Limit::RECOVERY), row);
    assert_eq!(alarm(&todo, &task), rings);
    assert_eq!(wait_until_settled(&todo, Limit::DELIVERY), before);
}

#[test]
fn the_sweep_moves_an_alarm_that_was_not_moved() {
    let todo = TestUser::random();
    let task = due(&todo, &in_a_day());
    let row = settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let rings = alarm(&todo, &task);
    let other = in_days(9);
    set_alarm(&todo, &task, &other);
    assert_ne!(alarm(&todo, &task), rings);
    claim_set(&todo, &task, Some(&other));
    assert_eq!(settled(&todo, &task, "scheduled", Limit::RECOVERY), row);
    assert_eq!(alarm(&todo, &task), rings);
}

#[test]
fn the_sweep_deletes_an_alarm_that_was_not_deleted() {
    let todo = TestUser::random();
    let task = due(&todo, &in_a_day());
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    todo.complete(id(&task)).task(200);
    settled(&todo, &task, "cancelled", Limit::DELIVERY);
    let left = in_days(2);
    set_alarm(&todo, &task, &left);
    claim_set(&todo, &task, Some(&left));
    settled(&todo, &task, "cancelled", Limit::RECOVERY);
    until("the job is gone", Limit::SOON, || {
        match alarm(&todo, &task) {
            None => Ok(()),
            Some(rings) => Err(rings),
        }
    });
}
