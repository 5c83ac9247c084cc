//! A part fails only for some users; the others notice next to nothing.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use e2e::database::Database;
use e2e::events::records;
use e2e::flow::{all_ordered, dead_letters, wait_until_all_settled};
use e2e::lanes;
use e2e::load::{self, Load};
use e2e::test_user::TestUser;
use e2e::wait::Limit;
use serde_json::{Value, json};
use stack::Stack;
use stack::endpoints::{Endpoints, TASKS_TOPIC};

use crate::own_stack::{OwnStack, done};

/// The time from a create to its event at the subscriber, 99th percentile, for users whom the fault does not concern.
const BOUND: f64 = 5.0;

/// For how long each load goes on.
const LOAD: Duration = Duration::from_secs(30);

/// A lane that rests is tried again within a minute.
const MENDED: Limit = Limit::new("lanes that rested go on", 150);

/// Creates per second. First so many that failing lanes share a batch with others. Then, while failing lanes rest
/// between tries, so few that a failing lane is mostly alone in its batch.
const RATES: [f64; 2] = [40.0, 2.0];

#[test]
fn one_lane_in_a_hundred_cannot_be_published() {
    let stack = OwnStack::alone(|options| options);
    let users = users(&stack, 300);
    let bad: Vec<TestUser> = users.iter().step_by(100).cloned().collect();
    let good: Vec<TestUser> = users
        .iter()
        .filter(|todo| bad.iter().all(|bad| bad.user() != todo.user()))
        .cloned()
        .collect();
    for todo in &bad {
        lanes::take(todo);
        todo.created("refused");
        lanes::make_unreadable(todo, 2);
        lanes::expire_lease(todo);
    }
    for rate in RATES {
        let load = creating(&stack, &users, &good, rate);
        load.assert_answered(&[201]);
    }
    for todo in &bad {
        assert_eq!(
            todo.database().lane_of(todo.user()).1,
            1,
            "it was published"
        );
        lanes::make_readable(todo, 2);
        lanes::unblock(todo);
    }
    mended(&stack, &users);
}

#[test]
fn one_partition_of_six_cannot_be_written() {
    // Only the small broker can be told to refuse.
    let stack = OwnStack::alone(|options| options.small_broker().partitions(6));
    let users = users(&stack, 360);
    let refused = 0;
    let partitions = partitions(stack.endpoints());
    let good: Vec<TestUser> = users
        .iter()
        .filter(|todo| partitions.get(todo.user()) != Some(&refused))
        .cloned()
        .collect();
    let bad = users.len() - good.len();
    assert!((30..90).contains(&bad), "{bad} of {} users", users.len());

    done(stack.refuse_writes(TASKS_TOPIC, refused));
    for rate in RATES {
        let load = creating(&stack, &users, &good, rate);
        load.assert_answered(&[201]);
    }
    let mut database = Database::of(stack.endpoints());
    let behind = "SELECT count(*) FROM lanes WHERE published < head";
    let waiting = database.json(behind, &[]);
    assert!(waiting.as_u64() > Some(bad as u64 / 2), "{waiting} wait");
    done(stack.accept_writes(TASKS_TOPIC, refused));
    mended(&stack, &users);
}

/// Users with a task each, of which all is done.
fn users(stack: &Stack, count: usize) -> Vec<TestUser> {
    let users: Vec<TestUser> = (0..count)
        .map(|_| TestUser::random_on(stack.endpoints()))
        .collect();
    for todo in &users {
        todo.created("first");
    }
    wait_until_all_settled(stack.endpoints(), &users, Limit::RECOVERY);
    users
}

/// The partition of each user's events.
fn partitions(stack: &Endpoints) -> BTreeMap<String, i32> {
    records(stack, TASKS_TOPIC)
        .into_iter()
        .flat_map(|record| record.key.map(|key| (key, record.partition)))
        .collect()
}

/// Lets all create tasks, and requires that the good ones' events reach the reminder handler in time.
fn creating(stack: &Stack, all: &[TestUser], good: &[TestUser], rate: f64) -> Load {
    let mut database = Database::of(stack.endpoints());
    let due_date = database.json("rfc3339(now() + interval '30 days')", &[]);
    let since = database.json("SELECT clock_timestamp()", &[]);
    let body = |number: usize| json!({"title": number.to_string(), "due_date": due_date});
    let load = load::creates(all, rate, body, || thread::sleep(LOAD));
    wait_until_all_settled(stack.endpoints(), good, Limit::RECOVERY);
    let names: Vec<&str> = good.iter().map(TestUser::user).collect();
    let names = json!(names).to_string();
    let delays = database.json(
        "SELECT jsonb_build_object(
            'events', count(*),
            'p50', percentile_disc(0.5) WITHIN GROUP (ORDER BY delay),
            'p99', percentile_disc(0.99) WITHIN GROUP (ORDER BY delay),
            'slowest', max(delay)
        )
        FROM (
            SELECT extract(epoch FROM claim.processed_at - event.time) AS delay
            FROM events AS event
            JOIN processed_events AS claim ON claim.event_id = event.id AND claim.handler = 'reminder'
            WHERE event.type = 'task.created' AND event.time > $2::text::timestamptz
                AND event.user_id IN (SELECT jsonb_array_elements_text($1::text::jsonb))
        ) AS delays",
        &[&names, since.as_str().unwrap_or_default()],
    );
    load.tell(&format!("delivered {delays}"));
    assert!(delays["events"].as_f64() > Some(rate * 15.0), "{delays}");
    let in_time = |value: &Value| value.as_f64().is_some_and(|delay| delay < BOUND);
    assert!(in_time(&delays["p99"]), "{delays} at {rate}/s");
    load
}

/// Requires that all that waited is delivered, in order.
fn mended(stack: &Stack, users: &[TestUser]) {
    wait_until_all_settled(stack.endpoints(), users, MENDED);
    all_ordered(stack.endpoints(), users);
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
}
