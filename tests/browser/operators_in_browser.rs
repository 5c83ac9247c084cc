//! What an operator sees and does on the page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::shared_stack;
use e2e::test_user::TestUser;
use serde_json::json;
use stack::endpoints::TASKS_TOPIC;
use uuid::Uuid;

use crate::story::tell_with;

/// Makes a dead letter of the tasks' topic, the oldest there is, so that it is on the first page; gives its id.
fn given_up(todo: &TestUser, offset: i64) -> String {
    let event = json!({"id": Uuid::now_v7(), "type": "task.created", "data": {"user_id": todo.user(), "title": "<b>x</b>"}});
    let wrapped = json!({
        "specversion": "1.0", "id": Uuid::now_v7(), "source": "todo-events", "type": "com.dapr.event.sent",
        "datacontenttype": "application/octet-stream", "data_base64": STANDARD.encode(event.to_string()),
    });
    todo.call("POST", "/api/events/dead-letters")
        .authorization(None)
        .header("dapr-api-token", &todo.stack().secrets.app_token)
        .header("__topic", TASKS_TOPIC)
        .header("__partition", "0")
        .header("__offset", &offset.to_string())
        .json(&wrapped)
        .send()
        .expect(200);
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
