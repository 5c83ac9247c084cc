//! Replacing the keys and tokens of a running service: for a while, the old ones and the new ones are accepted.

use e2e::replica::Replica;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use e2e::tokens::{seconds_from_now, signed};
use jsonwebtoken::Algorithm;
use serde_json::json;
use uuid::Uuid;

const NEW_KEY: &str = "the-key-that-replaces-the-former-one";
const NEW_TOKEN: &str = "the-token-that-replaces-the-former-one";

#[test]
fn clients_with_an_old_or_a_new_token_are_served() {
    let stack = shared_stack();
    let rotating = [
        ("jwt_secret", NEW_KEY),
        ("jwt_secret_previous", &stack.secrets.jwt_secret),
    ];
    let replica = Replica::with(stack, &rotating);
    let todo = TestUser::random_on(replica.endpoints());
    let with_key = |key| {
        let claims = json!({"sub": todo.user(), "exp": seconds_from_now(60)});
        let token = format!("Bearer {}", signed(Algorithm::HS256, &claims, key));
        todo.call("GET", todo.tasks_path())
            .authorization(Some(&token))
            .send()
    };
    with_key(stack.secrets.jwt_secret.as_str()).expect(200);
    with_key(NEW_KEY).expect(200);
    with_key("a-key-that-was-never-the-service's-own").problem(401, "unauthenticated");
}

/// A bad token is its sender's fault, not the service's.
#[test]
fn a_previous_key_that_is_too_short_is_ignored() {
    let replica = Replica::with(shared_stack(), &[("jwt_secret_previous", "short")]);
    let todo = TestUser::random_on(replica.endpoints());
    todo.list("").expect(200);
    let claims = json!({"sub": todo.user(), "exp": seconds_from_now(60)});
    for key in ["short", NEW_KEY] {
        let token = format!("Bearer {}", signed(Algorithm::HS256, &claims, key));
        let call = todo.call("GET", todo.tasks_path());
        call.authorization(Some(&token))
            .send()
            .problem(401, "unauthenticated");
    }
}

#[test]
fn a_sidecar_with_an_old_or_a_new_token_is_served() {
    let stack = shared_stack();
    let rotating = [
        ("app_api_token", NEW_TOKEN),
        ("app_api_token_previous", &stack.secrets.app_token),
    ];
    let replica = Replica::with(stack, &rotating);
    let todo = TestUser::random_on(replica.endpoints());
    let delivered = |token| {
        let id = Uuid::now_v7();
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/todo/test", "type": "task.created",
            "subject": id, "time": "2030-01-01T00:00:00.000000Z", "partitionkey": todo.user(),
            "sequence": "00000000000000000001", "data": {},
        });
        todo.call("POST", "/api/events/tasks")
            .authorization(None)
            .header("content-type", "application/cloudevents+json")
            .header("dapr-api-token", token)
            .body(event.to_string())
            .send()
    };
    for token in [stack.secrets.app_token.as_str(), NEW_TOKEN] {
        let answer = delivered(token).expect(200).json();
        assert!(["SUCCESS", "DROP"].contains(&string_member(&answer, "status")));
    }
    delivered("a-token-that-was-never-the-service's-own").problem(401, "unauthenticated");
}
