//! The sidecar is down, or up and silent.

use std::time::{Duration, Instant};

use e2e::answer::Answer;
use e2e::database::Database;
use e2e::events::types;
use e2e::flow::{dead_letters, ordered, series, wait_until_settled};
use e2e::logs::lines_of;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::Stack;
use stack::endpoints::Endpoints;

use crate::own_stack::{OwnStack, done};

/// The longest time of a request that waits only for the database; a call to the sidecar would wait up to 1.5 s.
const PROMPT: Duration = Duration::from_millis(1400);

#[test]
fn a_stopped_sidecar_fails_and_slows_nobody_and_gets_every_event_later() {
    let stack = OwnStack::start();
    outage(
        &stack,
        || done(stack.daprd().kill()),
        || done(stack.daprd().start()),
    );
}

#[test]
fn a_frozen_sidecar_fails_and_slows_nobody_and_gets_every_event_later() {
    let stack = OwnStack::start();
    outage(
        &stack,
        || done(stack.daprd().pause()),
        || done(stack.daprd().resume()),
    );
}

fn daily(todo: &TestUser) -> Value {
    todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": "2020-01-01T08:00:00Z",
    }))
}

/// Requires that a request is answered without waiting for anything but the database.
fn prompt(request: impl FnOnce() -> Answer) -> Answer {
    let began = Instant::now();
    let answer = request();
    let took = began.elapsed();
    assert!(took < PROMPT, "{took:?} for {answer:?}");
    answer
}

/// How often a component tried to publish in vain.
fn attempts(stack: &Endpoints, component: &str) -> usize {
    lines_of(stack, component, "publishing failed").len()
}

fn outage(stack: &Stack, begin: impl FnOnce(), end: impl FnOnce()) {
    let endpoints = stack.endpoints();
    let users: Vec<TestUser> = (0..3).map(|_| TestUser::random_on(endpoints)).collect();
    let tasks: Vec<(Value, Value)> = users
        .iter()
        .map(|todo| (daily(todo), daily(todo)))
        .collect();
    for todo in &users {
        wait_until_settled(todo, Limit::DELIVERY);
    }
    let before = attempts(endpoints, "task-api");
    assert_eq!(before, 0);

    begin();
    // The breaker is still closed: these publish, after their answers, and fail.
    for todo in &users {
        prompt(|| todo.create(json!({"title": "during the outage"}))).task(201);
    }
    let mut database = Database::of(endpoints);
    let state = "SELECT jsonb_build_object(
        'open', (SELECT count(*) FROM publishers WHERE failures > 0),
        'leases', (SELECT count(*) FROM publish_queue WHERE held_until > clock_timestamp())
    )";
    until(
        "the breaker opens and everybody lets go",
        Limit::DELIVERY,
        || {
            let state = database.json(state, &[]);
            if state == json!({"open": 1, "leases": 0}) {
                Ok(())
            } else {
                Err(state)
            }
        },
    );
    let tried = attempts(endpoints, "task-api");
    assert!(tried > before, "nobody tried to publish");

    for (todo, (kept, deleted)) in users.iter().zip(&tasks) {
        for round in 0..4 {
            let created = prompt(|| todo.create(json!({"title": format!("{round}")}))).task(201);
            prompt(|| todo.patch(string_member(&created, "id"), json!({"priority": "low"})))
                .task(200);
        }
        for task in [kept, deleted] {
            prompt(|| todo.complete(string_member(task, "id"))).task(200);
        }
        prompt(|| todo.delete(string_member(deleted, "id"))).expect(204);
        // A newcomer's lane is new.
        prompt(|| TestUser::random_on(endpoints).create(json!({"title": "t"}))).task(201);
    }
    assert_eq!(database.json(state, &[])["open"], 1);
    // The first publisher after each back-off is the probe; nobody else tries.
    let probes = attempts(endpoints, "task-api") - tried;
    assert!(probes <= 6, "{probes} probes");
    for todo in &users {
        let (head, published) = database.lane_of(todo.user());
        assert_eq!((head, published), (2 + 1 + 8 + 3, 2), "{}", todo.user());
    }

    end();
    for (todo, (kept, deleted)) in users.iter().zip(&tasks) {
        let events = wait_until_settled(todo, Limit::RECOVERY);
        let mut expected = vec!["task.created"; 3];
        expected.extend(["task.created", "task.updated"].repeat(4));
        expected.extend(["task.completed", "task.completed", "task.deleted"]);
        // The next instance of the one that is still there.
        expected.push("task.created");
        assert_eq!(types(&events), expected);
        ordered(todo);
        assert_eq!(series(todo, string_member(kept, "series_id")).len(), 2);
        assert!(series(todo, string_member(deleted, "series_id")).is_empty());
    }
    assert_eq!(database.json(state, &[])["open"], 0);
    assert_eq!(dead_letters(endpoints), json!([]));

    // Afterwards the next event does not wait for the relay.
    let todo = TestUser::random_on(endpoints);
    todo.created("t");
    todo.settle(Limit::new("as soon as usual", 3));
}
