//! A handler's statement loses to another one.

use std::thread;

use e2e::flow::{deliver, wait_until_settled};
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{LEAD, due, id, in_seconds, row, settled, short_lead_stack};

/// How often it may be the test's own statement that loses.
const ATTEMPTS: usize = 5;

/// Delivers an event whose statement deadlocks with one of the test's own: the handler's holds the reminder and wants
/// the lane, the test's the other way round. Whether the handler's lost.
fn deadlocked(todo: &TestUser, task: &Value, event: &Value) -> bool {
    let mut database = todo.database();
    let mut watching = todo.database();
    let client = database.client();
    let Ok(mut transaction) = client.transaction() else {
        panic!("no transaction");
    };
    let locked = transaction.execute(
        "SELECT FROM lanes WHERE user_id = $1 FOR UPDATE",
        &[&todo.user()],
    );
    assert!(matches!(locked, Ok(1)), "{locked:?}");
    thread::scope(|scope| {
        let answer = scope.spawn(|| deliver(todo, "/api/events/reminders", event));
        until("the handler's statement waits", Limit::SOON, || {
            let waiting = watching.json(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND wait_event_type = 'Lock' AND query LIKE '%apply_reminder%'",
                &[],
            );
            if waiting == 0 { Err(waiting) } else { Ok(()) }
        });
        let won = transaction.execute(
            "SELECT FROM reminders WHERE task_id::text = $1 FOR UPDATE",
            &[&id(task)],
        );
        drop(transaction);
        match answer.join() {
            Ok(answer) => {
                assert_eq!(answer.expect(200).json(), json!({"status": "SUCCESS"}));
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
        won.is_ok()
    })
}

#[test]
fn a_handler_tries_again_when_its_statement_was_the_victim_of_a_deadlock() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let task = due(&todo, &in_seconds(LEAD + 5_000));
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let mut event = wait_until_settled(&todo, Limit::DELIVERY).remove(0);
    event["type"] = json!("task.updated");
    let lost = (2..2 + ATTEMPTS).any(|sequence| {
        event["id"] = json!(Uuid::now_v7());
        event["sequence"] = json!(format!("{sequence:020}"));
        let due_date = in_seconds(LEAD + 6_000);
        event["data"]["due_date"] = json!(due_date);
        let lost = deadlocked(&todo, &task, &event);
        // It had its effect, once.
        let row = row(&todo, &task);
        assert_eq!(row["sequence"], sequence);
        assert_eq!(row["due_date"], due_date.as_str());
        lost
    });
    assert!(lost, "the handler's statement never lost");
}
