//! App and sidecar are told to end at the same moment, as in every rollout, under load.

use std::thread;
use std::time::Duration;

use e2e::database::Database;
use e2e::flow::{all_ordered, dead_letters, wait_until_all_settled};
use e2e::load;
use e2e::test_user::TestUser;
use e2e::wait::Limit;
use serde_json::json;

use crate::own_stack::{OwnStack, done};

/// How often app and sidecar end.
const ENDS: usize = 10;

/// For how long they work in between, so that there are deliveries under way.
const BETWEEN: Duration = Duration::from_secs(3);

const USERS: usize = 50;

/// Creates in a second, each of a task that two handlers have to do with.
const RATE: f64 = 60.0;

/// What is left is published and delivered after the last start.
const AFTERMATH: Limit = Limit::new("what follows after the last start", 120);

#[test]
fn no_accepted_request_is_lost_and_no_delivery_becomes_a_dead_letter() {
    let stack = OwnStack::alone(|options| options);
    let users: Vec<TestUser> = (0..USERS)
        .map(|_| TestUser::random_on(stack.endpoints()))
        .collect();
    let due_date = Database::of(stack.endpoints()).json("rfc3339(now() + interval '30 days')", &[]);
    let body = |number: usize| json!({"title": number.to_string(), "due_date": due_date});
    let load = load::creates(&users, RATE, body, || {
        for _ in 0..ENDS {
            thread::sleep(BETWEEN);
            done(stack.end_pod());
            done(stack.start_pod());
        }
    });
    // While there is no app, a client's connection is refused.
    load.tell(&format!("ended {ENDS} times"));
    let accepted = load.with(201).count();
    assert!(accepted > ENDS * 60, "{load}");

    let all = wait_until_all_settled(stack.endpoints(), &users, AFTERMATH);
    for (user, events) in all.iter().enumerate() {
        for task in load.tasks_of(user) {
            let of: Vec<&str> = events
                .iter()
                .filter(|event| event["subject"] == task)
                .flat_map(|event| event["type"].as_str())
                .collect();
            assert_eq!(of, ["task.created", "reminder.scheduled"], "{task}");
        }
    }
    all_ordered(stack.endpoints(), &users);
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
}
