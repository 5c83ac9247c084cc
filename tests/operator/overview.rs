//! The overview of a service that runs. What it tells of states that are hard to bring about is in `tests/database/operator.rs`.

use e2e::flow::wait_until_settled;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};

use crate::support::{given_up, read, topic};

fn overview(operator: &TestUser) -> Value {
    read(operator, "overview").expect(200).json()
}

#[test]
fn a_running_service_shows_its_publisher_its_events_and_how_long_they_took() {
    let todo = TestUser::random();
    let operator = TestUser::operator_on(shared_stack());
    let events = |overview: &Value| -> i64 {
        let minutes = overview["throughput"]["minutes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert_eq!(minutes.len(), 11, "{overview}");
        minutes
            .iter()
            .filter_map(|minute| minute["events"].as_i64())
            .sum()
    };
    for number in 0..5 {
        todo.created_with(json!({"title": number.to_string(), "due_date": "2100-01-01T09:00:00Z"}));
    }
    wait_until_settled(&todo, Limit::DELIVERY);
    let seen = until("a handler's claims", Limit::DELIVERY, || {
        let seen = overview(&operator);
        let reminder = seen["latencies"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|each| each["handler"] == "reminder")
            .cloned();
        match reminder {
            Some(reminder) if reminder["claims"].as_i64() >= Some(5) => Ok((seen, reminder)),
            _ => Err(seen),
        }
    });
    let (seen, reminder) = seen;
    assert!(events(&seen) >= 5, "{seen}");
    let milliseconds = |name: &str| reminder[name].as_f64().unwrap_or(-1.0);
    assert!(milliseconds("median_ms") > 0.0, "{reminder}");
    assert!(
        milliseconds("median_ms") <= milliseconds("p95_ms"),
        "{reminder}"
    );
    assert!(
        milliseconds("p95_ms") <= milliseconds("longest_ms"),
        "{reminder}"
    );
    let own = seen["publishers"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|each| each["sidecar"] == "local")
        .cloned()
        .unwrap_or_default();
    assert_eq!(own["breaker"], "closed", "{seen}");
}

#[test]
fn an_open_dead_letter_counts() {
    let todo = TestUser::random();
    let operator = TestUser::operator_on(shared_stack());
    let mut database = todo.database();
    let id = given_up(&todo, &topic(), 1, b"counted");
    // Older than whatever other tests leave.
    let aged =
        "UPDATE dead_letters SET first_received_at = '2020-01-01T00:00:00Z' WHERE id::text = $1";
    assert_eq!(database.client().execute(aged, &[&id]).ok(), Some(1));
    let seen = overview(&operator);
    assert!(seen["dead_letters"]["open"].as_i64() >= Some(1), "{seen}");
    assert_eq!(
        string_member(&seen["dead_letters"], "oldest"),
        "2020-01-01T00:00:00.000000Z"
    );
}
