//! What the stories of operators share.

use e2e::answer::Answer;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use e2e::{dead_letters, logs};
use serde_json::Value;
use uuid::Uuid;

/// The path of a thing below `/operator/api`.
pub fn path(rest: &str) -> String {
    format!("/operator/api/{rest}")
}

/// What an operator reads.
pub fn read(operator: &TestUser, rest: &str) -> Answer {
    operator.call("GET", path(rest)).send()
}

/// Something that an operator does, with a body.
pub fn act(operator: &TestUser, rest: &str, body: &Value) -> Answer {
    operator.call("POST", path(rest)).json(body).send()
}

/// The lines that tell what an operator did about an id.
pub fn actions(operator: &TestUser, id: &str) -> Vec<Value> {
    let mut lines = logs::lines_of(operator.stack(), "operator-api", operator.user());
    lines.retain(|line| line["message"] == "operator action" && line.to_string().contains(id));
    lines
}

/// Waits for as many such lines; each with what was done and what became of it.
pub fn recorded(operator: &TestUser, id: &str, count: usize) -> Vec<(String, String)> {
    let lines = until("the lines of actions", Limit::SOON, || {
        match actions(operator, id) {
            lines if lines.len() >= count => Ok(lines),
            lines => Err(format!("{lines:?}")),
        }
    });
    assert_eq!(lines.len(), count, "{lines:#?}");
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    for line in &lines {
        assert_eq!(line["operator"], operator.user(), "{line}");
        assert_eq!(line["level"], "info", "{line}");
    }
    lines
        .iter()
        .map(|line| (text(line, "action"), text(line, "outcome")))
        .collect()
}

/// Makes a dead letter as the sidecar does; gives its id.
pub fn given_up(todo: &TestUser, topic: &str, offset: i64, body: &[u8]) -> String {
    dead_letters::given_up(todo, topic, offset, body).expect(200);
    let id = todo.database().json(
        "SELECT id FROM dead_letters WHERE topic = $1 AND kafka_offset::text = $2",
        &[topic, &offset.to_string()],
    );
    match id.as_str() {
        Some(id) => id.to_owned(),
        None => panic!("no dead letter at {topic} {offset}"),
    }
}

/// A topic of the test's own.
pub fn topic() -> String {
    format!("topic-{}", Uuid::now_v7())
}
