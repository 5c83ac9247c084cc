//! What the sidecar itself serves.

use std::time::Duration;

use e2e::shared_stack;
use stack::net;

/// The status of a call to the sidecar with its token.
fn status(method: &str, path: &str) -> u16 {
    let stack = shared_stack();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", stack.dapr_url))
        .header("dapr-api-token", &stack.secrets.dapr_token)
        .header("content-type", "application/json")
        .body("{}".to_owned());
    let answer = request
        .map_err(ureq::Error::from)
        .and_then(|request| net::client(Duration::from_secs(10)).run(request));
    match answer {
        Ok(answer) => answer.status().as_u16(),
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

#[test]
fn the_sidecar_serves_only_what_the_app_calls() {
    assert_eq!(status("GET", "/v1.0/metadata"), 200);
    for (method, path) in [
        ("GET", "/v1.0/secrets/kubernetes/kafka-todo-events"),
        ("GET", "/v1.0/secrets/kubernetes/bulk"),
        ("POST", "/v1.0/invoke/todo-events/method/internal/relay"),
        ("POST", "/v1.0/bindings/relay"),
        ("POST", "/v1.0-alpha1/publish/bulk/kafka-pubsub/tasks"),
        ("GET", "/v1.0/state/any/key"),
        ("POST", "/v1.0/shutdown"),
    ] {
        assert_eq!(status(method, path), 404, "{method} {path}");
    }
}
