//! An event that the sidecar refuses for good.

use e2e::events::records_of;
use e2e::flow::{ordered, series, successor, wait_until_settled};
use e2e::lanes;
use e2e::logs::lines_of;
use e2e::operations;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use operator::dead_letters;
use operator::lanes::{self as waiting, Lane};
use operator::replay::replay;
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;

use crate::own_stack::OwnStack;

#[test]
fn a_rejected_event_blocks_its_own_lane_and_alerts() {
    let stack = OwnStack::start();
    let todo = TestUser::random_on(stack.endpoints());
    let other = TestUser::random_on(stack.endpoints());
    let blocked = || {
        let mut lines = lines_of(stack.endpoints(), "event-relay", todo.user());
        lines.retain(|line| line["outcome"] == "blocked");
        lines
    };
    todo.created("1");
    wait_until_settled(&todo, Limit::DELIVERY);
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
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(events[1]["data"].get("nest"), None::<&Value>);
    assert_eq!(events[1]["data"]["title"], json!("refused"));
    assert_eq!(ordered(&todo).len(), 4);
    assert_eq!(blocked().len(), 1);
}

#[test]
fn an_operator_shows_retries_and_skips_a_blocked_lane() {
    let stack = OwnStack::start();
    let todo = TestUser::random_on(stack.endpoints());
    let deployment = operations::deployment(stack.endpoints());
    let lane = || match waiting::find(&deployment, todo.user()) {
        Ok(lane) => lane,
        Err(error) => panic!("{error:#}"),
    };
    let blocked = |attempts: i32| {
        until("the lane is blocked", Limit::DELIVERY, || match lane() {
            Some(lane) if lane.blocked && lane.attempts >= attempts && !lane.held => Ok(lane),
            other => Err(format!("{other:?}")),
        })
    };
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily",
    }));
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(lane(), None);
    assert!(waiting::retry(&deployment, todo.user()).is_err());
    assert!(waiting::skip(&deployment, todo.user(), 1).is_err());

    // A completion that the sidecar refuses, and another event behind it.
    lanes::take(&todo);
    todo.complete(string_member(&task, "id")).task(200);
    todo.created("behind it");
    let stored = todo.stored_events();
    lanes::make_unreadable(&todo, 2);
    lanes::expire_lease(&todo);
    let seen = blocked(1);
    assert_eq!((seen.behind, seen.next, seen.rests), (2, 2, true));
    let Some(event) = &seen.event else {
        panic!("{seen:?}");
    };
    assert_eq!(event.id, string_member(&stored[1], "id"));
    assert_eq!(event.event_type, "task.completed");
    assert_eq!(event.time, string_member(&stored[1], "time"));
    assert!(event.bytes > 20_000, "{event:?}");
    let listed = waiting::list(&deployment, 10).unwrap_or_default();
    assert_eq!(
        listed
            .iter()
            .map(|lane: &Lane| &lane.user)
            .collect::<Vec<_>>(),
        [todo.user()]
    );

    // Its turn comes at once, and it is refused once more.
    if let Err(error) = waiting::retry(&deployment, todo.user()) {
        panic!("{error:#}");
    }
    blocked(seen.attempts + 1);

    // Only the event that blocks the lane can be skipped.
    for number in [0, 1, 3] {
        match waiting::skip(&deployment, todo.user(), number) {
            Ok(skipped) => panic!("{skipped:?}"),
            Err(error) => assert!(error.to_string().contains("number 2"), "{error:#}"),
        }
    }
    assert_eq!(todo.database().lane_of(todo.user()), (3, 1));
    lanes::make_readable(&todo, 2);
    let skipped = match waiting::skip(&deployment, todo.user(), 2) {
        Ok(skipped) => skipped,
        Err(error) => panic!("{error:#}"),
    };
    assert_eq!(skipped.left, 1);
    todo.settle(Limit::DELIVERY);
    let titles = || {
        let records = records_of(stack.endpoints(), TASKS_TOPIC, todo.user());
        let mut events: Vec<Value> = records
            .iter()
            .filter_map(|record| record.json().ok())
            .collect();
        events.retain(|event| event["type"] == "task.created");
        (records.len(), events.len())
    };
    assert_eq!(titles(), (2, 2));
    assert_eq!(todo.stored_events().len(), 3);
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 1);

    // A skipped event was never published, so it is not replayed with the others.
    let replayed = replay(&deployment, todo.user(), string_member(&stored[0], "time"));
    assert!(
        matches!(&replayed, Ok(replayed) if replayed.count == 2),
        "{replayed:?}"
    );

    // It is a dead letter, which has its effect when it is replayed.
    let id = skipped.letter.unwrap_or_default();
    let letter = dead_letters::find(&deployment, &id);
    let Ok(letter) = letter else {
        panic!("{letter:?}");
    };
    assert_eq!(letter.status, "open");
    assert_eq!((letter.partition, letter.offset), (-1, 2));
    assert_eq!(
        letter.event_id.as_deref(),
        Some(string_member(&stored[1], "id"))
    );
    assert_eq!(letter.user_id.as_deref(), Some(todo.user()));
    if let Err(error) = dead_letters::replay(&deployment, &id, None) {
        panic!("{error:#}");
    }
    successor(&todo, &task);
}
