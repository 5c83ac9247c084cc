//! Users who do many things at once.

use std::thread;

use e2e::flow::{ordered, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::json;

/// How many clients each user has.
const CLIENTS: usize = 4;
/// How many changes each client makes.
const CHANGES: usize = 25;

/// Creates tasks, five changes for each.
fn work(todo: &TestUser) {
    for round in 0..CHANGES / 5 {
        let task = todo.created(&format!("{round}"));
        let id = string_member(&task, "id");
        todo.patch(id, json!({"priority": "high"})).task(200);
        todo.complete(id).task(200);
        todo.reopen(id).task(200);
        todo.delete(id).expect(204);
    }
}

#[test]
fn two_users_hammered_in_parallel_keep_their_orders() {
    let users = [TestUser::random(), TestUser::random()];
    thread::scope(|scope| {
        for todo in &users {
            for _ in 0..CLIENTS {
                scope.spawn(|| work(todo));
            }
        }
    });
    for todo in &users {
        let stored = wait_until_settled(todo, Limit::RECOVERY);
        let records = ordered(todo);
        assert_eq!(records.len(), CLIENTS * CHANGES);
        // And each is what was stored under its number.
        for (record, stored) in records.iter().zip(&stored) {
            let event = record.json().unwrap_or_default();
            for attribute in ["id", "type", "subject", "time", "sequence", "data"] {
                assert_eq!(
                    event[attribute], stored[attribute],
                    "{attribute} of {event}"
                );
            }
        }
        assert!(todo.listed("").is_empty());
    }
}
