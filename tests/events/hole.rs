//! The last event of a lane is missing: a row was lost.

use e2e::flow::{ordered, wait_until_settled};
use e2e::lanes;
use e2e::logs::lines_of;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use serde_json::Value;

#[test]
fn a_lane_with_a_missing_event_rests_and_alerts_once() {
    let todo = TestUser::random();
    let other = TestUser::random();
    todo.created("1");
    wait_until_settled(&todo, Limit::DELIVERY);
    lanes::take(&todo);
    todo.created("2");
    lanes::change(
        &todo,
        "DELETE FROM events WHERE user_id = $1 AND sequence = 2",
    );
    lanes::expire_lease(&todo);

    // The next publisher finds the gap: the relay, or a request.
    let alerts = || -> Vec<Value> {
        [
            "event-relay",
            "task-api",
            "reminder-handler",
            "recurrence-handler",
        ]
        .into_iter()
        .flat_map(|component| lines_of(todo.stack(), component, todo.user()))
        .filter(|line| line["message"] == "event missing from lane")
        .collect()
    };
    let lines = until("an alert", Limit::DELIVERY, || match alerts() {
        lines if lines.is_empty() => Err("none"),
        lines => Ok(lines),
    });
    assert_eq!(lines[0]["level"], "error", "{lines:?}");
    let turn = "SELECT to_jsonb(turn) || jsonb_build_object(
        'rests', turn_at > clock_timestamp() + interval '4 minutes'
    ) FROM publish_queue AS turn WHERE user_id = $1";
    let mut database = todo.database();
    let turn = database.json(turn, &[todo.user()]);
    assert_eq!(turn["rests"], true, "{turn}");
    assert_eq!(turn["blocked"], true, "{turn}");
    assert!(turn["holder"].is_null(), "{turn}");

    // The lane rests, and others go on.
    for number in 0..5 {
        other.created(&number.to_string());
        other.settle(Limit::DELIVERY);
    }
    assert_eq!(alerts().len(), 1);

    // An operator gives its number to the next event.
    lanes::change(
        &todo,
        "UPDATE lanes SET head = published WHERE user_id = $1",
    );
    lanes::change(&todo, "DELETE FROM publish_queue WHERE user_id = $1");
    todo.created("3");
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(ordered(&todo).len(), 2);
}
