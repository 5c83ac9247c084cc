//! What an operator sees and does on the page.

use e2e::asyncapi::CheckedStack;
use e2e::flow::wait_until_settled;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use e2e::{dead_letters, lanes, shared_stack};
use serde_json::{Value, json};
use stack::StackOptions;
use stack::endpoints::TASKS_TOPIC;
use stack::service::Service;
use uuid::Uuid;

use crate::story::{browser, tell_with};

/// Makes a dead letter of the tasks' topic, the oldest there is, so that it is on the first page; gives its id.
fn given_up(todo: &TestUser, offset: i64) -> String {
    let event = json!({"id": Uuid::now_v7(), "type": "task.created", "data": {"user_id": todo.user(), "title": "<b>x</b>"}});
    let body = event.to_string();
    dead_letters::given_up(todo, TASKS_TOPIC, offset, body.as_bytes()).expect(200);
    let statement = "UPDATE dead_letters SET first_received_at = '2020-01-01T00:00:00Z'
        WHERE event_id = $1 RETURNING id::text";
    let id = event["id"].as_str().unwrap_or_default();
    match todo.database().client().query_one(statement, &[&id]) {
        Ok(row) => row.get(0),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn an_operator_replays_and_discards_dead_letters_by_click_and_nobody_else_does() {
    let todo = TestUser::random();
    let operator = TestUser::operator_on(shared_stack());
    let (replayed, discarded) = (
        given_up(&todo, 2_000_000_001),
        given_up(&todo, 2_000_000_002),
    );
    tell_with("operator", &operator, |what, of| match what {
        "dead letters" => {
            json!({"replayed": replayed, "discarded": discarded, "stranger": todo.token()})
        }
        "status" => todo.database().json(
            "SELECT status FROM dead_letters WHERE id::text = $1",
            &[of.as_str().unwrap_or_default()],
        ),
        other => panic!("nobody can do {other:?}"),
    });
}

#[test]
fn an_operator_retries_and_skips_a_lane_by_click_and_sees_when_the_database_is_away() {
    browser();
    let options = StackOptions::beside(shared_stack())
        .own_postgres()
        .small_broker();
    let stack = match options.start() {
        Ok(stack) => CheckedStack::new(stack),
        Err(error) => panic!("{error:#}"),
    };
    let todo = TestUser::random_on(stack.endpoints());
    let operator = TestUser::operator_on(stack.endpoints());
    todo.created("published");
    wait_until_settled(&todo, Limit::DELIVERY);
    // An event that the sidecar refuses, and another one behind it.
    lanes::take(&todo);
    todo.created("refused");
    todo.created("behind it");
    lanes::make_unreadable(&todo, 2);
    lanes::expire_lease(&todo);
    let attempts = || {
        todo.database().json(
            "SELECT attempts FROM publish_queue WHERE user_id = $1",
            &[todo.user()],
        )
    };
    let tried_again = |before: i64| {
        until("the lane is tried", Limit::DELIVERY, || {
            let now = attempts();
            (now.as_i64() > Some(before))
                .then(|| now.clone())
                .ok_or_else(|| now.to_string())
        })
    };
    tell_with("operators-lane", &operator, |what, of| match what {
        "lane" => {
            tried_again(0);
            json!(todo.user())
        }
        "attempts" => attempts(),
        "tried again" => tried_again(of.as_i64().unwrap_or_default()),
        "settled" => {
            // So that this test can read it.
            lanes::make_readable(&todo, 2);
            wait_until_settled(&todo, Limit::DELIVERY);
            titles(&todo)
        }
        "kill" => done(stack.postgres().and_then(Service::kill)),
        "start" => done(stack.postgres().and_then(Service::start)),
        other => panic!("nobody can do {other:?}"),
    });
}

/// The titles in a user's events on Kafka, in their order.
fn titles(todo: &TestUser) -> Value {
    let events = todo.published_events();
    let titles = events.iter().map(|event| event["data"]["title"].clone());
    titles.collect()
}

fn done(result: anyhow::Result<()>) -> Value {
    match result {
        Ok(()) => Value::Null,
        Err(error) => panic!("{error:#}"),
    }
}
