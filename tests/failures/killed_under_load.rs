//! A part is killed and comes back while users work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use e2e::answer::Answer;
use e2e::events::types;
use e2e::flow::{dead_letters, ordered, series, wait_until_settled};
use e2e::test_user::{Call, TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::json;
use stack::Stack;

use crate::own_stack::{OwnStack, done};

const USERS: usize = 3;
/// Tasks of each user; every other one recurs and is completed.
const TASKS: usize = 40;
/// How many tasks, over all users, have been begun when the part is killed, and when it comes back.
const KILLED_AT: usize = USERS * TASKS / 4;
const BACK_AT: usize = USERS * TASKS / 2;
/// How many tasks each user begins before the part is back.
const BEFORE_BACK: usize = TASKS * 3 / 4;
/// Between two tasks of a user, so that the load lasts.
const PACE: Duration = Duration::from_millis(20);

/// How long until a part works again: its start, back-offs, retries, and the consumers' rebalance.
const AFTERMATH: Limit = Limit::new("the aftermath of a killed part", 90);

#[test]
fn the_broker_is_killed_under_load() {
    let stack = OwnStack::with(|options| options.broker_on_disk());
    under_load(
        &stack,
        || done(stack.broker().and_then(|broker| broker.kill())),
        || done(stack.broker().and_then(|broker| broker.start())),
    );
}

#[test]
fn the_sidecar_is_killed_under_load() {
    let stack = OwnStack::start();
    under_load(
        &stack,
        || done(stack.daprd().kill()),
        || done(stack.daprd().start()),
    );
}

#[test]
fn the_app_is_killed_under_load() {
    let stack = OwnStack::start();
    under_load(
        &stack,
        || done(stack.app().kill()),
        || done(stack.app().start()),
    );
}

#[test]
fn the_database_is_killed_under_load() {
    let stack = OwnStack::with(|options| options.own_postgres());
    under_load(
        &stack,
        || done(stack.postgres().and_then(|postgres| postgres.kill())),
        || done(stack.postgres().and_then(|postgres| postgres.start())),
    );
}

#[test]
fn the_scheduler_is_killed_under_load() {
    let stack = OwnStack::start();
    under_load(
        &stack,
        || done(stack.scheduler().kill()),
        || done(stack.scheduler().start()),
    );
}

/// Sends a request again while the answer is a 5xx or the connection fails, as a client should.
fn retrying<'a>(request: impl Fn() -> Call<'a>) -> Answer {
    until("an answer", Limit::RECOVERY, || {
        match request().try_send() {
            Ok(answer) if answer.status < 500 => Ok(answer),
            Ok(answer) => Err(format!("{answer:?}")),
            Err(error) => Err(error.to_string()),
        }
    })
}

fn work(todo: &TestUser, begun: &AtomicUsize, back: &AtomicBool) {
    for number in 0..TASKS {
        if number == BEFORE_BACK {
            until("the part is back", AFTERMATH, || {
                if back.load(Ordering::Acquire) {
                    Ok(())
                } else {
                    Err("it is not")
                }
            });
        }
        begun.fetch_add(1, Ordering::AcqRel);
        let recurs = number % 2 == 1;
        let body = json!({
            "title": format!("{number}"), "due_date": "2020-01-01T08:00:00Z", "is_recurring": recurs,
            "recurring_interval": recurs.then_some("daily"),
        });
        let key = format!("{number}");
        let create = || {
            let call = todo.call("POST", todo.tasks_path());
            call.header("idempotency-key", &key).json(&body)
        };
        let task = retrying(create).task(201);
        if recurs {
            let target = format!("{}/complete", todo.task_path(string_member(&task, "id")));
            retrying(|| todo.call("POST", target.as_str())).task(200);
        }
        thread::sleep(PACE);
    }
}

fn under_load(stack: &Stack, kill: impl FnOnce(), start: impl FnOnce()) {
    let users: Vec<TestUser> = (0..USERS)
        .map(|_| TestUser::random_on(stack.endpoints()))
        .collect();
    let (begun, back) = (AtomicUsize::new(0), AtomicBool::new(false));
    let reached = |count: usize| match begun.load(Ordering::Acquire) {
        begun if begun >= count => Ok(()),
        begun => Err(format!("{begun} tasks begun")),
    };
    thread::scope(|scope| {
        for todo in &users {
            scope.spawn(|| work(todo, &begun, &back));
        }
        until("there is load", AFTERMATH, || reached(KILLED_AT));
        kill();
        // If nothing works without the part, each user waits at the next task.
        until("load goes on, or is stuck", AFTERMATH, || {
            let before = begun.load(Ordering::Acquire);
            thread::sleep(10 * PACE);
            let stuck = begun.load(Ordering::Acquire) == before;
            if stuck { Ok(()) } else { reached(BACK_AT) }
        });
        start();
        back.store(true, Ordering::Release);
    });

    for todo in &users {
        let events = wait_until_settled(todo, AFTERMATH);
        ordered(todo);
        let tasks = todo.listed("limit=200");
        let mut titles: Vec<(&str, i64)> = tasks
            .iter()
            .map(|task| {
                (
                    string_member(task, "title"),
                    task["occurrence"].as_i64().unwrap_or_default(),
                )
            })
            .collect();
        titles.sort_unstable();
        let numbers: Vec<String> = (0..TASKS).map(|number| number.to_string()).collect();
        let mut expected: Vec<(&str, i64)> = numbers
            .iter()
            .enumerate()
            .flat_map(|(index, title)| {
                (1..=(1 + index as i64 % 2)).map(move |o| (title.as_str(), o))
            })
            .collect();
        expected.sort_unstable();
        assert_eq!(titles, expected);
        for task in tasks.iter().filter(|task| task["is_recurring"] == true) {
            assert_eq!(series(todo, string_member(task, "series_id")).len(), 2);
        }
        let types = types(&events);
        let count = |event_type: &str| types.iter().filter(|found| **found == event_type).count();
        assert_eq!(count("task.created"), TASKS + TASKS / 2);
        assert_eq!(count("task.completed"), TASKS / 2);
        assert_eq!(types.len(), 2 * TASKS);
    }
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
}
