//! `GET /api/{user_id}/tasks/{task_id}`.

use e2e::test_user::{TestUser, string_member};
use serde_json::json;

#[test]
fn a_task_is_read_as_it_was_created() {
    let todo = TestUser::random();
    let created =
        todo.created_with(json!({"title": "Call Ada", "tags": ["phone"], "priority": "low"}));
    let answer = todo.get(string_member(&created, "id"));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.task(200), created);
}

#[test]
fn an_unknown_or_foreign_task_is_not_found() {
    let todo = TestUser::random();
    let other = TestUser::random();
    let theirs = other.created("theirs");
    let mine = todo.created("mine");
    let deleted = todo.created("deleted");
    todo.delete(string_member(&deleted, "id")).expect(204);

    let id = string_member(&mine, "id");
    let compact = id.replace('-', "");
    for id in [
        "00000000-0000-7000-8000-000000000000",
        string_member(&theirs, "id"),
        string_member(&deleted, "id"),
        "1",
        "x",
        compact.as_str(),
        &format!("{{{id}}}"),
        &format!("urn:uuid:{id}"),
        "%20",
        &format!("{id}%20"),
    ] {
        todo.call(
            "GET",
            todo.task_path(&id.replace('{', "%7B").replace('}', "%7D")),
        )
        .send()
        .problem(404, "not-found");
    }
}

#[test]
fn an_id_is_found_in_any_case() {
    let todo = TestUser::random();
    let task = todo.created("t");
    assert_eq!(
        todo.get(&string_member(&task, "id").to_uppercase())
            .task(200),
        task
    );
}
