//! Who may see and change what.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::answer::Answer;
use e2e::logs;
use e2e::test_user::{TestUser, string_member};
use e2e::tokens::{seconds_from_now, signed};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::unharmed::unchanged;

/// One request to every route of a user.
fn everywhere(todo: &TestUser, id: &str, authorization: Option<&str>) -> Vec<Answer> {
    let (tasks, task) = (todo.tasks_path(), todo.task_path(id));
    let user = tasks.trim_end_matches("/tasks").to_owned();
    let call =
        |method: &str, target: String| todo.call(method, target).authorization(authorization);
    vec![
        call("GET", tasks.clone()).send(),
        call("POST", tasks.clone())
            .json(&json!({"title": "forged"}))
            .send(),
        call("PUT", tasks).send(),
        call("GET", task.clone()).send(),
        call("PATCH", task.clone())
            .json(&json!({"title": "forged"}))
            .send(),
        call("POST", format!("{task}/complete")).send(),
        call("POST", format!("{task}/reopen")).send(),
        call("DELETE", task).send(),
        call("GET", format!("{user}/notifications")).send(),
        call("POST", format!("{user}/notifications/{id}/read")).send(),
        call("POST", format!("{user}/notifications/{id}/snooze"))
            .json(&json!({"for": "PT1H"}))
            .send(),
        call("POST", format!("{user}/notifications/read-all")).send(),
        call("GET", format!("{user}/analytics")).send(),
    ]
}

#[test]
fn without_a_token_nothing_is_shown_or_changed() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let basic = format!("Basic {}", todo.token());
    let bare = todo.token().to_owned();
    unchanged(&todo, || {
        for authorization in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Basic YTpi"),
            Some(basic.as_str()),
            Some(bare.as_str()),
        ] {
            for answer in everywhere(&todo, string_member(&task, "id"), authorization) {
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
                answer.problem(401, "unauthenticated");
            }
        }
    });
}

/// Invalid tokens, each with what is wrong with it.
fn worthless_tokens(todo: &TestUser) -> Vec<(&'static str, String)> {
    let key = &todo.stack().secrets.jwt_secret;
    let good = json!({"sub": todo.user(), "exp": seconds_from_now(600)});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let unsigned = |header: Value, signature: &str| {
        let (header, claims) = (header.to_string(), good.to_string());
        format!(
            "{}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        )
    };
    let hs256 = |claims: &Value| signed(Algorithm::HS256, claims, key);
    let token = hs256(&good);
    let signature = token.rsplit('.').next().unwrap_or_default().to_owned();
    let mut cut = token.clone();
    cut.truncate(cut.len() - 6);
    let mut without_expiry = good.clone();
    without_expiry
        .as_object_mut()
        .map(|claims| claims.remove("exp"));
    let mut without_subject = good.clone();
    without_subject
        .as_object_mut()
        .map(|claims| claims.remove("sub"));
    vec![
        (
            "alg none",
            unsigned(json!({"alg": "none", "typ": "JWT"}), ""),
        ),
        ("alg None", unsigned(json!({"alg": "None"}), "")),
        (
            "alg none, with a signature",
            unsigned(json!({"alg": "none"}), &signature),
        ),
        ("no alg", unsigned(json!({"typ": "JWT"}), &signature)),
        ("no signature", unsigned(json!({"alg": "HS256"}), "")),
        (
            "another header under the signature",
            unsigned(json!({"alg": "HS256", "kid": "1"}), &signature),
        ),
        ("alg RS256", unsigned(json!({"alg": "RS256"}), &signature)),
        ("HS384", signed(Algorithm::HS384, &good, key)),
        ("HS512", signed(Algorithm::HS512, &good, key)),
        (
            "another key",
            signed(Algorithm::HS256, &good, "another key of 32 bytes or more!"),
        ),
        ("an empty key", signed(Algorithm::HS256, &good, "")),
        ("cut", cut),
        ("expired", hs256(&with("exp", json!(seconds_from_now(-60))))),
        ("expired long ago", hs256(&with("exp", json!(0)))),
        ("without exp", hs256(&without_expiry)),
        ("exp as text", hs256(&with("exp", json!("never")))),
        ("exp null", hs256(&with("exp", Value::Null))),
        (
            "not yet valid",
            hs256(&with("nbf", json!(seconds_from_now(300)))),
        ),
        ("nobody's", hs256(&without_subject)),
        ("an empty subject", hs256(&with("sub", json!("")))),
        (
            "a subject that is no text",
            hs256(&with("sub", json!([todo.user()]))),
        ),
        ("not a token", "x.y.z".to_owned()),
        ("dots", "..".to_owned()),
        ("very long", "x".repeat(6_000)),
    ]
}

#[test]
fn an_invalid_token_is_refused_everywhere_and_not_logged() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let tokens = worthless_tokens(&todo);
    let mut traces = Vec::new();
    unchanged(&todo, || {
        for (what, token) in &tokens {
            for answer in everywhere(
                &todo,
                string_member(&task, "id"),
                Some(&format!("Bearer {token}")),
            ) {
                assert_eq!(answer.status, 401, "{what}: {answer:?}");
                traces.push(answer.trace.clone());
                answer.problem(401, "unauthenticated");
            }
        }
    });
    for trace in traces {
        let line = logs::line_of(todo.stack(), "task-api", &trace);
        assert_eq!(line["status"], 401, "{line}");
    }
    let mut secrets: Vec<&str> = tokens
        .iter()
        .map(|(_, token)| token.as_str())
        .filter(|token| token.len() > 10)
        .collect();
    secrets.push(todo.token());
    logs::assert_absent(todo.stack(), &secrets);
}

#[test]
fn a_valid_token_is_good_for_its_own_user_only() {
    let (todo, other) = (TestUser::random(), TestUser::random());
    let theirs = other.created("theirs");
    let authorization = format!("Bearer {}", todo.token());
    unchanged(&other, || {
        for answer in everywhere(&other, string_member(&theirs, "id"), Some(&authorization)) {
            answer.problem(403, "forbidden");
        }
    });
    // A path that no user can have is refused too.
    for user in ["a%20b", &"x".repeat(129), "%C3%A9"] {
        todo.call("GET", format!("/api/{user}/tasks"))
            .send()
            .problem(403, "forbidden");
    }
    assert!(todo.rows()["events"].is_null());
}

#[test]
fn every_way_to_name_the_user_in_a_token_works() {
    let todo = TestUser::random();
    let key = &todo.stack().secrets.jwt_secret;
    let exp = seconds_from_now(600);
    let status = |claims: Value, scheme: &str| {
        let authorization = format!("{scheme} {}", signed(Algorithm::HS256, &claims, key));
        todo.call("GET", todo.tasks_path())
            .authorization(Some(&authorization))
            .send()
            .status
    };
    let user = todo.user();
    assert_eq!(status(json!({"sub": user, "exp": exp}), "Bearer"), 200);
    assert_eq!(status(json!({"sub": user, "exp": exp}), "bearer"), 200);
    assert_eq!(status(json!({"user_id": user, "exp": exp}), "Bearer"), 200);
    assert_eq!(
        status(
            json!({"sub": user, "user_id": "another", "exp": exp, "aud": "x", "iss": "y"}),
            "Bearer"
        ),
        200
    );
    assert_eq!(
        status(
            json!({"sub": user, "exp": exp, "nbf": seconds_from_now(-5), "iat": 0}),
            "Bearer"
        ),
        200
    );
    assert_eq!(
        status(
            json!({"sub": "another", "user_id": user, "exp": exp}),
            "Bearer"
        ),
        403
    );
}

#[test]
fn forged_headers_do_not_name_the_user() {
    let (todo, other) = (TestUser::random(), TestUser::random());
    let theirs = other.created("theirs");
    let id = string_member(&theirs, "id");
    unchanged(&other, || {
        for name in [
            "spin-path-match-user_id",
            "spin-path-match-user-id",
            "spin-path-info",
            "spin-raw-component-route",
        ] {
            let own = todo
                .call("GET", todo.tasks_path())
                .header(name, other.user())
                .send();
            assert_eq!(own.expect(200).json(), json!([]));
            todo.call("GET", todo.task_path(id))
                .header(name, other.user())
                .send()
                .problem(404, "not-found");
            let answer = todo
                .call("DELETE", other.task_path(id))
                .header(name, todo.user())
                .send();
            answer.problem(403, "forbidden");
        }
    });
}

#[test]
fn two_authorization_headers_are_refused() {
    let todo = TestUser::random();
    let other = TestUser::random();
    let twice = todo
        .call("GET", todo.tasks_path())
        .header("authorization", &format!("Bearer {}", other.token()));
    twice.send().problem(401, "unauthenticated");
}
