//! All users' events are published again, on a stack of its own, because this concerns all users.

use e2e::events::records_of;
use e2e::flow::{ordered, series, wait_until_settled};
use e2e::operations;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use operator::replay::{Replayed, replay_all};
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;

use crate::own_stack::OwnStack;

fn replayed(stack: &OwnStack, since: &str) -> usize {
    match replay_all(&operations::deployment(stack.endpoints()), since) {
        Ok(Replayed { count, .. }) => count,
        Err(error) => panic!("{error:#}"),
    }
}

#[test]
fn everybodys_events_come_again_in_order_and_change_nothing() {
    let stack = OwnStack::start();
    let users: Vec<TestUser> = (0..3)
        .map(|_| TestUser::random_on(stack.endpoints()))
        .collect();
    for round in 0..4 {
        for todo in &users {
            let task = todo.created_with(json!({
                "title": format!("{round}"), "is_recurring": true, "recurring_interval": "daily",
            }));
            todo.complete(string_member(&task, "id")).task(200);
        }
    }
    // A create, a completion and the next instance of each.
    let events: Vec<Vec<Value>> = users
        .iter()
        .map(|todo| wait_until_settled(todo, Limit::DELIVERY))
        .collect();
    let numbers = |todo: &TestUser| -> Vec<String> {
        let records = records_of(stack.endpoints(), TASKS_TOPIC, todo.user());
        let events = records.iter().filter_map(|record| record.json().ok());
        events
            .map(|event| string_member(&event, "sequence").to_owned())
            .collect()
    };
    let published: Vec<Vec<String>> = users.iter().map(numbers).collect();
    assert!(
        published.iter().all(|numbers| numbers.len() == 12),
        "{published:?}"
    );

    let (first, last) = (
        string_member(&events[0][0], "time"),
        string_member(&events[2][11], "time"),
    );
    assert_eq!(replayed(&stack, first), 36);
    for (todo, once) in users.iter().zip(&published) {
        assert_eq!(numbers(todo), [once.as_slice(), once].concat());
        ordered(todo);
    }
    // Only since the moment.
    let late = events
        .iter()
        .flatten()
        .filter(|event| string_member(event, "time") >= last);
    assert_eq!(replayed(&stack, last), late.count());
    assert_eq!(replayed(&stack, "2100-01-01T00:00:00Z"), 0);
    for (todo, before) in users.iter().zip(&events) {
        assert_eq!(&wait_until_settled(todo, Limit::DELIVERY), before);
        for event in before
            .iter()
            .filter(|event| event["type"] == "task.completed")
        {
            assert_eq!(
                series(todo, string_member(&event["data"], "series_id")).len(),
                2
            );
        }
    }
}
