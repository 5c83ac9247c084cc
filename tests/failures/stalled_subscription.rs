//! A subscription that no longer reads its topic.

use e2e::flow::wait_until_settled;
use e2e::lanes;
use e2e::logs::lines_of;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use serde_json::json;

use crate::own_stack::OwnStack;

#[test]
fn a_stalled_subscription_is_made_anew() {
    let stack = OwnStack::start();
    let todo = TestUser::random_on(stack.endpoints());
    let ready = || {
        todo.call("GET", "/readyz/deliveries")
            .authorization(None)
            .send()
            .status
    };
    until("deliveries", Limit::DELIVERY, || match ready() {
        200 => Ok(()),
        status => Err(status),
    });
    let due = || json!({"title": "t", "due_date": "2090-01-01T00:00:00Z"});
    todo.created_with(due());
    wait_until_settled(&todo, Limit::DELIVERY);
    assert!(lines_of(stack.endpoints(), "event-relay", "subscription stalled").is_empty());

    // What a lost delivery looks like: a published event that its handler never claimed.
    lanes::change(
        &todo,
        "DELETE FROM processed_events WHERE event_id IN (SELECT id FROM events WHERE user_id = $1)",
    );
    until(
        "a pause",
        Limit::new("soon after it was missed", 60),
        || match ready() {
            503 => Ok(()),
            status => Err(status),
        },
    );
    // Clients are served meanwhile.
    let answer = todo.call("GET", "/readyz").authorization(None).send();
    assert_eq!(answer.status, 200);
    todo.created_with(due());
    until("deliveries again", Limit::DELIVERY, || match ready() {
        200 => Ok(()),
        status => Err(status),
    });
    let lines = lines_of(stack.endpoints(), "event-relay", "subscription stalled");
    assert_eq!(lines[0]["stream"], "reminder", "{lines:?}");

    // What was written meanwhile arrives.
    let todo_claims = "SELECT count(*) FROM processed_events JOIN events ON events.id = event_id WHERE user_id = $1";
    until("the delivery", Limit::RECOVERY, || {
        let claims = todo.database().json(todo_claims, &[todo.user()]);
        if claims == 1 { Ok(()) } else { Err(claims) }
    });
}
