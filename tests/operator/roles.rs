//! Who is an operator: whose token says so, and nobody else.

use e2e::answer::Answer;
use e2e::shared_stack;
use e2e::test_user::TestUser;
use e2e::tokens::{seconds_from_now, signed};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::{given_up, path, topic};

/// A request to every path, and to some that are not there, each valid but for who sends it.
fn everywhere(todo: &TestUser, letter: &str, authorization: Option<&str>) -> Vec<Answer> {
    let user = todo.user();
    let of_letter = json!({"confirm": letter});
    let of_lane = json!({"confirm": user, "sequence": 1});
    let none = Value::Null;
    [
        ("GET", "overview".to_owned(), &none),
        ("GET", "lanes".to_owned(), &none),
        ("GET", format!("lanes/{user}"), &none),
        ("POST", format!("lanes/{user}/retry"), &of_lane),
        ("POST", format!("lanes/{user}/skip"), &of_lane),
        ("GET", "dead-letters".to_owned(), &none),
        ("GET", format!("dead-letters/{letter}"), &none),
        ("POST", format!("dead-letters/{letter}/replay"), &of_letter),
        ("POST", format!("dead-letters/{letter}/discard"), &of_letter),
        ("GET", "openapi.json".to_owned(), &none),
        ("PUT", "overview".to_owned(), &none),
        ("DELETE", format!("dead-letters/{letter}"), &none),
        ("GET", "nothing".to_owned(), &none),
        ("GET", String::new(), &none),
    ]
    .map(|(method, target, body)| {
        let call = todo
            .call(method, path(&target))
            .authorization(authorization);
        match body {
            Value::Null => call.send(),
            body => call.json(body).send(),
        }
    })
    .into()
}

/// The user's dead letter, which nothing here must touch.
fn untouched(todo: &TestUser, letter: &str) -> Value {
    todo.database().json(
        "SELECT jsonb_build_array(status, resolved_at, deliveries) FROM dead_letters WHERE id::text = $1",
        &[letter],
    )
}

#[test]
fn without_a_token_nothing_is_shown_or_done() {
    let todo = TestUser::random();
    let letter = given_up(&todo, &topic(), 1, b"kept");
    let key = &todo.stack().secrets.jwt_secret;
    let claims =
        |exp: i64| json!({"sub": todo.user(), "roles": ["operator"], "exp": seconds_from_now(exp)});
    let bearer = |token: String| format!("Bearer {token}");
    for authorization in [
        None,
        Some("Basic b3BlcmF0b3I6eA==".to_owned()),
        Some(bearer(signed(
            Algorithm::HS256,
            &claims(600),
            "another key of thirty-two bytes!",
        ))),
        Some(bearer(signed(Algorithm::HS384, &claims(600), key))),
        Some(bearer(signed(Algorithm::HS256, &claims(-600), key))),
    ] {
        for answer in everywhere(&todo, &letter, authorization.as_deref()) {
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer"),
                "{answer:?}"
            );
            answer.problem(401, "unauthenticated");
        }
    }
    assert_eq!(untouched(&todo, &letter), json!(["open", null, 1]));
}

#[test]
fn a_users_token_is_refused_everywhere_and_changes_nothing() {
    let todo = TestUser::random();
    let letter = given_up(&todo, &topic(), 1, b"kept");
    let key = &todo.stack().secrets.jwt_secret;
    for roles in [
        Value::Null,
        json!([]),
        json!("operator"),
        json!(["user", "OPERATOR"]),
        json!({"operator": true}),
    ] {
        let mut claims = json!({"sub": todo.user(), "exp": seconds_from_now(600)});
        if !roles.is_null() {
            claims["roles"] = roles;
        }
        let token = format!("Bearer {}", signed(Algorithm::HS256, &claims, key));
        for answer in everywhere(&todo, &letter, Some(&token)) {
            let problem = answer.problem(403, "forbidden");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("operator"), "{problem}");
        }
        // As a user's, the token is as good as any.
        todo.call("GET", todo.tasks_path())
            .authorization(Some(&token))
            .send()
            .expect(200);
    }
    assert_eq!(untouched(&todo, &letter), json!(["open", null, 1]));
}

#[test]
fn an_operator_is_no_other_user() {
    let todo = TestUser::random();
    let operator = TestUser::operator_on(shared_stack());
    operator.call("GET", path("overview")).send().expect(200);
    operator.list("").expect(200);
    operator
        .call("GET", todo.tasks_path())
        .send()
        .problem(403, "forbidden");
}

#[test]
fn what_is_not_there_is_not_found_by_an_operator() {
    let operator = TestUser::operator_on(shared_stack());
    for target in [
        "nothing",
        "",
        "dead-letters/none",
        "lanes/a%20b",
        "lanes/nobody-at-all",
    ] {
        operator
            .call("GET", path(target))
            .send()
            .problem(404, "not-found");
    }
    let put = operator.call("PUT", path("overview")).send();
    assert_eq!(put.header("allow"), Some("GET"));
    put.problem(405, "method-not-allowed");
}
