//! A part hangs: its connections stay open and nothing is answered, for half a minute, while users go on creating tasks.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use e2e::database::Database;
use e2e::flow::{all_ordered, dead_letters, wait_until_all_settled};
use e2e::load::{self, Load};
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::Stack;
use stack::service::Service;

use crate::own_stack::{OwnStack, done};

/// For how long a part is frozen.
const FROZEN: Duration = Duration::from_secs(30);

/// For how long the load goes on before and after.
const AROUND: Duration = Duration::from_secs(3);

const USERS: usize = 50;

/// Creates in a second.
const RATE: f64 = 200.0;

/// Creates in a second while the database hangs. Spin has no limit of time for a statement, so each request waits until the
/// database goes on, and holds its place: there are 500.
const RATE_OF_WAITING: f64 = 12.0;

/// The longest time of a request that waits only for the database; all parts share the processors.
const PROMPT: Duration = Duration::from_secs(5);

/// How long until all is done after a part goes on: back-offs, retries, the consumers' rebalance, and thousands of
/// events.
const AFTERMATH: Limit = Limit::new("the aftermath of a part that hung", 120);

#[test]
fn the_broker_hangs() {
    let stack = OwnStack::alone(|options| options);
    let part = stack.broker();
    story(&stack, part, RATE).assert_answered(&[201]);
}

#[test]
fn the_sidecar_hangs() {
    let stack = OwnStack::alone(|options| options);
    story(&stack, Ok(stack.daprd()), RATE).assert_answered(&[201]);
}

#[test]
fn the_scheduler_hangs() {
    let stack = OwnStack::alone(|options| options);
    story(&stack, Ok(stack.scheduler()), RATE).assert_answered(&[201]);
}

/// Here requests wait. On Kubernetes the pooler in front of the database answers them in time.
#[test]
fn the_database_hangs() {
    let stack = OwnStack::alone(|options| options.own_postgres());
    let load = story(&stack, stack.postgres(), RATE_OF_WAITING);
    load.assert_answered(&[201, 503]);
    let waited = load.quantile(1.0);
    assert!(waited < FROZEN + Limit::RECOVERY.duration(), "{waited:?}");
}

/// Freezes a part while users create tasks, lets it go on, and requires that nothing is lost, nothing comes out of
/// order and nothing becomes a dead letter. Returns the load.
fn story(stack: &Stack, part: anyhow::Result<&Service>, rate: f64) -> Load {
    let Ok(part) = part else {
        panic!("the stack has no such part of its own");
    };
    let users: Vec<TestUser> = (0..USERS)
        .map(|_| TestUser::random_on(stack.endpoints()))
        .collect();
    // One task in ten has a reminder, whose alarm is due within the hour and set at once.
    let due_date = Database::of(stack.endpoints())
        .json("rfc3339(now() + interval '24 hours 30 minutes')", &[]);
    let body = |number: usize| {
        let due_date = number.is_multiple_of(10).then_some(&due_date);
        json!({"title": number.to_string(), "due_date": due_date})
    };
    let load = load::creates(&users, rate, body, || {
        thread::sleep(AROUND);
        done(part.pause());
        // Not a wait for anything: the time itself is what the test is about.
        thread::sleep(FROZEN);
        done(part.resume());
        thread::sleep(AROUND);
    });
    load.tell(&format!("{} frozen for {FROZEN:?}", part.name()));
    if part.name() != "postgres" {
        let slowest = load.quantile(0.99);
        assert!(slowest < PROMPT, "{load}");
    }
    recovered(stack, &users, &load);
    load
}

/// Requires that everything follows from what was accepted, by itself.
fn recovered(stack: &Stack, users: &[TestUser], load: &Load) {
    let all = wait_until_all_settled(stack.endpoints(), users, AFTERMATH);
    for (user, events) in all.iter().enumerate() {
        let mut created: BTreeMap<&str, usize> = BTreeMap::new();
        for event in events {
            if event["type"] == "task.created" {
                *created
                    .entry(event["subject"].as_str().unwrap_or_default())
                    .or_default() += 1;
            }
        }
        let lost: Vec<&str> = load
            .tasks_of(user)
            .into_iter()
            .filter(|task| created.get(task) != Some(&1))
            .collect();
        assert!(lost.is_empty(), "no event, or several, of {lost:?}");
    }
    all_ordered(stack.endpoints(), users);
    let mut database = Database::of(stack.endpoints());
    let unset = "SELECT count(*) FROM reminders WHERE alarm_wanted IS DISTINCT FROM alarm_set";
    until("every alarm is set", AFTERMATH, || {
        match database.json(unset, &[]) {
            unset if unset == 0 => Ok(()),
            unset => Err(format!("{unset} are not")),
        }
    });
    assert_eq!(dead_letters(stack.endpoints()), json!([]));

    // Afterwards the next event does not wait for the relay.
    let todo = TestUser::random_on(stack.endpoints());
    todo.created("t");
    todo.settle(Limit::new("as soon as usual", 3));
    let open: Value = database.json("SELECT count(*) FROM publishers WHERE failures > 0", &[]);
    assert_eq!(open, 0);
}
