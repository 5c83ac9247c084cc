//! The description of the operator's API. (That every answer that any test gets is described, the harness sees to.)

use std::collections::BTreeSet;

use e2e::answer::Answer;
use e2e::lanes;
use e2e::openapi::{OPERATOR_OPENAPI, operation_id, operators_answers};
use e2e::shared_stack;
use e2e::test_user::TestUser;
use e2e::wait::Limit;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{given_up, path, read, topic};

#[test]
fn the_description_is_served_as_committed() {
    let operator = TestUser::operator_on(shared_stack());
    let answer = read(&operator, "openapi.json").expect(200);
    assert_eq!(String::from_utf8_lossy(&answer.body), OPERATOR_OPENAPI);
}

/// All but those of an outage, and of a body that takes ten seconds.
#[test]
fn every_answer_described_is_given() {
    let operator = TestUser::operator_on(shared_stack());
    // Lanes that wait: their holder will never do anything.
    let waiting = || {
        let todo = TestUser::random();
        todo.created("published");
        todo.settle(Limit::DELIVERY);
        lanes::take(&todo);
        todo.created("waits");
        todo
    };
    let (todo, skipped) = (waiting(), waiting());
    lanes::change(
        &skipped,
        "UPDATE publish_queue SET
            blocked = true, holder = NULL, held_until = NULL, turn_at = now() + interval '1 hour'
        WHERE user_id = $1",
    );
    let blocked = skipped.user();
    let (topic, user, unknown) = (topic(), todo.user(), Uuid::now_v7().to_string());
    let letter = |offset| given_up(&todo, &topic, offset, b"no json");
    let (first, second) = (letter(1), letter(2));
    let none = Value::Null;
    let requests: Vec<(&str, String, Value)> = vec![
        ("GET", "overview".to_owned(), none.clone()),
        ("GET", "lanes".to_owned(), none.clone()),
        ("GET", "lanes?limit=x".to_owned(), none.clone()),
        ("GET", format!("lanes/{user}"), none.clone()),
        ("GET", "lanes/nobody".to_owned(), none.clone()),
        (
            "POST",
            format!("lanes/{user}/retry"),
            json!({"confirm": user}),
        ),
        (
            "POST",
            format!("lanes/{user}/retry"),
            json!({"confirm": ""}),
        ),
        (
            "POST",
            "lanes/nobody/retry".to_owned(),
            json!({"confirm": "nobody"}),
        ),
        (
            "POST",
            format!("lanes/{blocked}/skip"),
            json!({"confirm": blocked, "sequence": 7}),
        ),
        (
            "POST",
            format!("lanes/{blocked}/skip"),
            json!({"confirm": blocked, "sequence": 2}),
        ),
        (
            "POST",
            format!("lanes/{blocked}/skip"),
            json!({"confirm": blocked}),
        ),
        (
            "POST",
            "lanes/nobody/skip".to_owned(),
            json!({"confirm": "nobody", "sequence": 1}),
        ),
        ("GET", "dead-letters".to_owned(), none.clone()),
        ("GET", "dead-letters?limit=x".to_owned(), none.clone()),
        ("GET", format!("dead-letters/{first}"), none.clone()),
        ("GET", format!("dead-letters/{unknown}"), none.clone()),
        (
            "POST",
            format!("dead-letters/{first}/replay"),
            json!({"confirm": first}),
        ),
        (
            "POST",
            format!("dead-letters/{first}/replay"),
            json!({"confirm": first, "topic": "tasks"}),
        ),
        ("POST", format!("dead-letters/{first}/replay"), json!({})),
        (
            "POST",
            format!("dead-letters/{unknown}/replay"),
            json!({"confirm": unknown}),
        ),
        (
            "POST",
            format!("dead-letters/{first}/discard"),
            json!({"confirm": first}),
        ),
        (
            "POST",
            format!("dead-letters/{second}/discard"),
            json!({"confirm": second}),
        ),
        ("POST", format!("dead-letters/{second}/discard"), json!({})),
        (
            "POST",
            format!("dead-letters/{unknown}/discard"),
            json!({"confirm": unknown}),
        ),
        ("GET", "openapi.json".to_owned(), none.clone()),
    ];
    let stranger = format!("Bearer {}", todo.token());
    let own = format!("Bearer {}", operator.token());
    let large = json!("x".repeat(70_000));
    let mut given = BTreeSet::new();
    for (method, target, body) in requests {
        let mut note = |target: &str, answer: Answer| {
            let name = operation_id(method, &path(target)).unwrap_or_default();
            given.insert((name.to_owned(), answer.status));
        };
        let send = |target: &str, body: &Value, token: Option<&str>| {
            let call = operator.call(method, path(target)).authorization(token);
            match body {
                Value::Null => call.send(),
                body => call.json(body).send(),
            }
        };
        note(&target, send(&target, &body, None));
        note(&target, send(&target, &body, Some(&stranger)));
        note(&target, send(&target, &body, Some(&own)));
        if !body.is_null() {
            note(&target, send(&target, &large, Some(&own)));
            let nonsense = operator.call(method, path(&target)).body("{");
            note(&target, nonsense.send());
        }
    }
    lanes::expire_lease(&todo);
    let mut described: BTreeSet<(String, u16)> = operators_answers().into_iter().collect();
    // A path that is no text fits no template.
    given.retain(|(name, status)| *status != 400 || name.starts_with(char::is_alphabetic));
    described.retain(|(name, status)| {
        let has_body = ["retry", "skip", "replay", "discard"]
            .iter()
            .any(|start| name.starts_with(start));
        ![408, 503].contains(status) && (has_body || *status != 400)
    });
    assert_eq!(given, described);
}
