//! Everybody's events, published again: on a stack of its own, since it is everybody's.

use e2e::events::records_of;
use e2e::flow::{ordered, quiet, series};
use e2e::operations;
use e2e::todo::{Todo, text};
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
    let users: Vec<Todo> = (0..3)
        .map(|_| Todo::someone_on(stack.endpoints()))
        .collect();
    for round in 0..4 {
        for todo in &users {
            let task = todo.created_with(json!({
                "title": format!("{round}"), "is_recurring": true, "recurring_interval": "daily",
            }));
            todo.complete(text(&task, "id")).task(200);
        }
    }
    // A create, a completion and the next instance of each.
    let events: Vec<Vec<Value>> = users
        .iter()
        .map(|todo| quiet(todo, Limit::DELIVERY))
        .collect();
    let numbers = |todo: &Todo| -> Vec<String> {
        let records = records_of(stack.endpoints(), TASKS_TOPIC, todo.user());
        let events = records.iter().filter_map(|record| record.json().ok());
        events
            .map(|event| text(&event, "sequence").to_owned())
            .collect()
    };
    let published: Vec<Vec<String>> = users.iter().map(numbers).collect();
    assert!(
        published.iter().all(|numbers| numbers.len() == 12),
        "{published:?}"
    );

    let (first, last) = (text(&events[0][0], "time"), text(&events[2][11], "time"));
    assert_eq!(replayed(&stack, first), 36);
    for (todo, once) in users.iter().zip(&published) {
        assert_eq!(numbers(todo), [once.as_slice(), once].concat());
        ordered(todo);
    }
    // Only since the moment.
    let late = events
        .iter()
        .flatten()
        .filter(|event| text(event, "time") >= last);
    assert_eq!(replayed(&stack, last), late.count());
    assert_eq!(replayed(&stack, "2100-01-01T00:00:00Z"), 0);
    for (todo, before) in users.iter().zip(&events) {
        assert_eq!(&quiet(todo, Limit::DELIVERY), before);
        for event in before
            .iter()
            .filter(|event| event["type"] == "task.completed")
        {
            assert_eq!(series(todo, text(&event["data"], "series_id")).len(), 2);
        }
    }
}
