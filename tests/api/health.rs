//! The health routes and the subscriptions, for Kubernetes and the sidecar. They need no token.

use e2e::test_user::TestUser;
use serde_json::json;

#[test]
fn the_service_is_alive_and_ready() {
    let todo = TestUser::random();
    for route in ["/healthz", "/readyz"] {
        let answer = todo
            .call("GET", route)
            .authorization(None)
            .send()
            .expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.json(), json!({"status": "ok"}));
    }
}

#[test]
fn subscriptions_are_what_the_sidecar_understands() {
    let todo = TestUser::random();
    let answer = todo
        .call("GET", "/dapr/subscribe")
        .authorization(None)
        .send()
        .expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let subscriptions = answer.json();
    insta::assert_json_snapshot!("subscriptions", subscriptions);
    for subscription in subscriptions.as_array().into_iter().flatten() {
        // A route that does not exist would answer 404, and every event would become a dead letter.
        let rules = subscription["routes"]["rules"]
            .as_array()
            .into_iter()
            .flatten();
        let paths = rules
            .map(|rule| &rule["path"])
            .chain([&subscription["routes"]["default"]]);
        for path in paths.filter_map(|path| path.as_str()) {
            let answer = todo
                .call("POST", path)
                .authorization(None)
                .json(&json!({}))
                .send();
            assert!([200, 401].contains(&answer.status), "{path}: {answer:?}");
        }
    }
}
