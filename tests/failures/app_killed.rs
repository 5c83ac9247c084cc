//! The app is killed between the commit of a change and the publication of its event.

use e2e::events::types;
use e2e::flow::{ordered, series, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::json;

use crate::own_stack::{OwnStack, done};

#[test]
fn an_event_that_a_killed_app_left_arrives_before_the_users_next_event() {
    let stack = OwnStack::start();
    let todo = TestUser::random_on(stack.endpoints());
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": "2020-01-01T08:00:00Z",
    }));
    let id = string_member(&task, "id");
    wait_until_settled(&todo, Limit::DELIVERY);

    // The publish hangs when the app dies.
    done(stack.daprd().pause());
    todo.complete(id).task(200);
    done(stack.app().kill());
    let mut database = todo.database();
    assert_eq!(database.lane_of(todo.user()), (2, 1));
    done(stack.app().start());
    done(stack.daprd().resume());

    todo.created("next");
    todo.patch(id, json!({"title": "renamed"})).task(200);
    let events = wait_until_settled(&todo, Limit::RECOVERY);
    ordered(&todo);
    // The next instance may have come before or after this.
    let users: Vec<&str> = types(&events)
        .into_iter()
        .zip(&events)
        .filter(|(_, event)| event.get("causationid").is_none())
        .map(|(event_type, _)| event_type)
        .collect();
    assert_eq!(
        users,
        [
            "task.created",
            "task.completed",
            "task.created",
            "task.updated"
        ]
    );
    assert_eq!(events.len(), 5, "{events:#?}");
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 2);
}

/// The sidecar is stopped, so that it cannot have got the request.
#[test]
fn an_event_that_no_sidecar_got_arrives_before_the_users_next_event() {
    let stack = OwnStack::start();
    let todo = TestUser::random_on(stack.endpoints());
    todo.created("first");
    wait_until_settled(&todo, Limit::DELIVERY);

    done(stack.daprd().pause());
    todo.created("second");
    done(stack.app().kill());
    done(stack.daprd().kill());
    done(stack.app().start());
    done(stack.daprd().start());
    todo.created("third");
    let events = wait_until_settled(&todo, Limit::RECOVERY);
    assert_eq!(events.len(), 3);
    ordered(&todo);
}
