//! An operator looks after a lane that rests, over the API.

use e2e::flow::wait_until_settled;
use e2e::lanes;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};

use crate::own_stack::OwnStack;

#[test]
fn a_lane_that_rests_is_seen_retried_and_skipped_over_the_api() {
    let stack = OwnStack::start();
    let todo = TestUser::random_on(stack.endpoints());
    let operator = TestUser::operator_on(stack.endpoints());
    let read = |rest: &str| operator.call("GET", format!("/operator/api/{rest}")).send();
    let act = |what: &str, body: &Value| {
        let target = format!("/operator/api/lanes/{}/{what}", todo.user());
        operator.call("POST", target).json(body).send()
    };
    let confirmed = json!({"confirm": todo.user()});
    let number = |sequence: i64| json!({"confirm": todo.user(), "sequence": sequence});
    todo.created("published");
    wait_until_settled(&todo, Limit::DELIVERY);
    read(&format!("lanes/{}", todo.user())).problem(404, "not-found");
    act("retry", &confirmed).problem(404, "not-found");
    act("skip", &number(1)).problem(404, "not-found");

    // An event that the sidecar refuses, and another one behind it.
    lanes::take(&todo);
    todo.created("refused");
    todo.created("behind it");
    let held = read(&format!("lanes/{}", todo.user())).expect(200).json();
    assert_eq!(
        (&held["state"], &held["events"]),
        (&json!("held"), &json!(2))
    );
    assert_eq!(
        act("retry", &confirmed).expect(200).json(),
        json!({"outcome": "held"})
    );
    act("skip", &number(2)).problem(409, "cannot-skip-event");
    let stored = todo.stored_events();
    lanes::make_unreadable(&todo, 2);
    lanes::expire_lease(&todo);
    let blocked = |attempts: i64| {
        until("the lane is blocked", Limit::DELIVERY, || {
            let lanes = read("lanes").expect(200).json();
            let lane = lanes["lanes"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|lane| {
                    lane["user_id"] == todo.user()
                        && lane["state"] == "blocked"
                        && lane["held"] == false
                        && lane["attempts"].as_i64() >= Some(attempts)
                });
            lane.cloned().ok_or_else(|| lanes.to_string())
        })
    };
    let lane = blocked(1);
    assert_eq!((&lane["events"], &lane["sequence"]), (&json!(2), &json!(2)));
    assert_eq!(lane["rests"], true);
    assert_eq!(lane["event"]["id"], stored[1]["id"]);
    assert_eq!(lane["event"]["time"], stored[1]["time"]);
    let queue = read("overview").expect(200).json()["queue"].clone();
    assert_eq!(
        (
            &queue["lanes"],
            &queue["events"],
            &queue["blocked"],
            &queue["resting"],
            &queue["more"]
        ),
        (&json!(1), &json!(2), &json!(1), &json!(1), &json!(false)),
        "{queue}"
    );

    // Only who names the lane acts on it, and only its next event is skipped.
    for body in [json!({}), json!({"confirm": "somebody"})] {
        assert_eq!(act("retry", &body).violations(), ["/confirm"]);
    }
    for sequence in [json!(0), json!("2"), Value::Null] {
        let body = json!({"confirm": todo.user(), "sequence": sequence});
        assert_eq!(act("skip", &body).violations(), ["/sequence"]);
    }
    for sequence in [1, 3] {
        let problem = act("skip", &number(sequence)).problem(409, "cannot-skip-event");
        assert!(
            problem["detail"].to_string().contains("number 2"),
            "{problem}"
        );
    }
    // It is tried at once, and refused once more.
    let attempts = lane["attempts"].as_i64().unwrap_or_default();
    assert_eq!(
        act("retry", &confirmed).expect(200).json(),
        json!({"outcome": "retried"})
    );
    blocked(attempts + 1);

    lanes::make_readable(&todo, 2);
    let skipped = act("skip", &number(2)).expect(200).json();
    assert_eq!(skipped["left"], 1);
    todo.settle(Limit::DELIVERY);
    read(&format!("lanes/{}", todo.user())).problem(404, "not-found");
    let letter = string_member(&skipped, "dead_letter_id");
    let seen = read(&format!("dead-letters/{letter}")).expect(200).json();
    assert_eq!(
        (&seen["partition"], &seen["offset"]),
        (&json!(-1), &json!(2))
    );
    let target = format!("/operator/api/dead-letters/{letter}/replay");
    let replayed = operator
        .call("POST", target)
        .json(&json!({"confirm": letter}))
        .send();
    assert_eq!(replayed.expect(200).json()["status"], "replayed");
}
