//! An event that the sidecar refuses for good.

use e2e::flow::{ordered, quiet};
use e2e::lanes;
use e2e::logs::lines_of;
use e2e::todo::Todo;
use e2e::wait::{Limit, until};
use serde_json::{Value, json};

use crate::own_stack::OwnStack;

#[test]
fn it_blocks_its_own_lane_and_alerts() {
    let stack = OwnStack::start();
    let todo = Todo::someone_on(stack.endpoints());
    let other = Todo::someone_on(stack.endpoints());
    let blocked = || {
        let mut lines = lines_of(stack.endpoints(), "event-relay", todo.user());
        lines.retain(|line| line["outcome"] == "blocked");
        lines
    };
    todo.created("1");
    quiet(&todo, Limit::DELIVERY);
    lanes::take(&todo);
    todo.created("refused");
    todo.created("3");
    lanes::make_unreadable(&todo, 2);
    lanes::expire_lease(&todo);
    let lines = until("an alert", Limit::DELIVERY, || match blocked() {
        lines if lines.is_empty() => Err("none"),
        lines => Ok(lines),
    });
    assert_eq!(lines[0]["level"], "error", "{lines:?}");
    assert_eq!(lines[0]["sequence"], 2, "{lines:?}");

    // Others are not held up, as no breaker is open.
    for number in 1..=3 {
        other.created(&number.to_string());
        other.settle(Limit::new("as soon as usual", 3));
    }
    // Nor are the user's requests.
    todo.created("4");
    assert_eq!(todo.database().lane_of(todo.user()), (4, 1));
    let open = "SELECT count(*) FROM publishers WHERE failures > 0";
    assert_eq!(todo.database().json(open, &[]), 0);

    // Repaired and let go, all arrives.
    lanes::make_readable(&todo, 2);
    lanes::unblock(&todo);
    let events = quiet(&todo, Limit::DELIVERY);
    assert_eq!(events[1]["data"].get("nest"), None::<&Value>);
    assert_eq!(events[1]["data"]["title"], json!("refused"));
    assert_eq!(ordered(&todo).len(), 4);
    assert_eq!(blocked().len(), 1);
}
