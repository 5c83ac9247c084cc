//! The database is away for longer than a handler waits for it and the sidecar retries.

use std::thread;
use std::time::Duration;

use e2e::flow::{dead_letters, ordered, series, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};

use crate::own_stack::{OwnStack, done};

/// More than 8 s of a handler's patience, with or without three retries.
const OUTAGE: Duration = Duration::from_secs(25);

#[test]
fn events_wait_until_the_database_is_back_and_none_becomes_a_dead_letter() {
    let stack = OwnStack::with(|options| options.own_postgres());
    let users: Vec<TestUser> = (0..3)
        .map(|_| TestUser::random_on(stack.endpoints()))
        .collect();
    let tasks: Vec<Value> = users
        .iter()
        .map(|todo| {
            todo.created_with(json!({
                "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": "2020-01-01T08:00:00Z",
            }))
        })
        .collect();
    for todo in &users {
        wait_until_settled(todo, Limit::DELIVERY);
    }

    // These completions are being delivered when the database goes away.
    thread::scope(|scope| {
        for (todo, task) in users.iter().zip(&tasks) {
            scope.spawn(|| todo.complete(string_member(task, "id")).task(200));
        }
    });
    done(stack.postgres().and_then(|postgres| postgres.kill()));
    for todo in &users {
        todo.create(json!({"title": "in vain"}))
            .problem(503, "unavailable");
    }
    thread::sleep(OUTAGE);
    done(stack.postgres().and_then(|postgres| postgres.start()));

    for (todo, task) in users.iter().zip(&tasks) {
        wait_until_settled(todo, Limit::RECOVERY);
        ordered(todo);
        assert_eq!(series(todo, string_member(task, "series_id")).len(), 2);
    }
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
}
