//! `POST /api/{user_id}/tasks`.

use e2e::lanes::change;
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};

use crate::unharmed::unchanged;

#[test]
fn a_title_is_enough() {
    let todo = TestUser::random();
    let answer = todo.create(json!({"title": "  Water plants "}));
    let location = answer.header("location").map(str::to_owned);
    assert_eq!(answer.header("etag"), Some("\"1\""));
    let task = answer.task(201);

    let id = string_member(&task, "id");
    assert_eq!(location, Some(todo.task_path(id)));
    assert_eq!(id.len(), 36, "a UUID in its usual form, version 7: {id}");
    assert_eq!(id.as_bytes()[14], b'7', "{id}");
    assert_eq!(task["created_at"], task["updated_at"]);
    let created_at = string_member(&task, "created_at");
    assert_eq!(
        task,
        json!({
            "id": id, "user_id": todo.user(), "title": "Water plants", "description": null, "completed": false,
            "completed_at": null, "skipped_at": null, "priority": "medium", "tags": [], "due_date": null,
            "timezone": "UTC", "is_recurring": false, "recurring_interval": null, "recurrence": null, "reminders": null, "series_id": id,
            "occurrence": 1, "anchor_day": null, "wall_clock_due": null, "version": 1, "created_at": created_at,
            "updated_at": created_at,
        })
    );
    assert_eq!(todo.get(id).task(200), task);
}

#[test]
fn every_field_is_kept() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "Pay rent", "description": "Standing order?", "priority": "high",
        "tags": ["home", " money ", "home"], "due_date": "2030-01-31T23:30:00.1234567-05:00",
        "timezone": "Europe/Berlin", "is_recurring": true, "recurring_interval": "monthly",
    }));
    let expected = json!({
        "title": "Pay rent", "description": "Standing order?", "priority": "high", "tags": ["home", "money"],
        // An instant, not the text that was sent.
        "due_date": "2030-02-01T04:30:00.123456Z", "timezone": "Europe/Berlin", "is_recurring": true,
        "recurring_interval": "monthly",
        // The day in the task's own zone, where it is February already.
        "anchor_day": 1,
    });
    for (field, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(task[field], *value, "{field}");
    }
    assert_eq!(todo.get(string_member(&task, "id")).task(200), task);
}

#[test]
fn null_in_a_new_task_is_the_same_as_absent() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "t", "description": null, "priority": null, "tags": null, "due_date": null, "timezone": null,
        "is_recurring": null, "recurring_interval": null,
    }));
    assert_eq!(task["priority"], "medium");
    assert_eq!(task["tags"], json!([]));
    assert_eq!(task["timezone"], "UTC");
    assert_eq!(task["is_recurring"], false);
}

#[test]
fn values_at_their_limits_are_accepted() {
    let todo = TestUser::random();
    let tags: Vec<String> = (0..10).map(|n| format!("{n}{}", "ü".repeat(49))).collect();
    let task = todo.created_with(json!({
        "title": "é".repeat(200), "description": "漢".repeat(1000), "tags": tags,
        "due_date": "9998-12-31T23:59:59Z", "is_recurring": true, "recurring_interval": "daily",
    }));
    assert_eq!(task["title"], "é".repeat(200));
    assert_eq!(task["description"], "漢".repeat(1000));
    assert_eq!(task["tags"], json!(tags));
    assert_eq!(task["due_date"], "9998-12-31T23:59:59.000000Z");
    todo.created_with(
        json!({"title": "long ago", "due_date": "0001-01-01T00:00:00Z", "description": ""}),
    );
}

#[test]
fn each_invalid_field_is_named() {
    let todo = TestUser::random();
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({}), &["/title"]),
        (json!({"title": null}), &["/title"]),
        (json!({"title": ""}), &["/title"]),
        (json!({"title": " \t\n"}), &["/title"]),
        (json!({"title": "x".repeat(201)}), &["/title"]),
        (
            json!({"title": "t", "description": "x".repeat(1001)}),
            &["/description"],
        ),
        (json!({"title": "t", "priority": "urgent"}), &["/priority"]),
        (json!({"title": "t", "tags": "home"}), &["/tags"]),
        (
            json!({"title": "t", "tags": ["ok", "", "a,b", "x".repeat(51), 1]}),
            &["/tags/1", "/tags/2", "/tags/3", "/tags/4"],
        ),
        (
            json!({"title": "t", "tags": (0..11).map(|n| n.to_string()).collect::<Vec<_>>()}),
            &["/tags"],
        ),
        (
            json!({"title": "t", "due_date": "tomorrow"}),
            &["/due_date"],
        ),
        (
            json!({"title": "t", "due_date": "2030-01-31T09:00:00"}),
            &["/due_date"],
        ),
        (
            json!({"title": "t", "due_date": "2030-02-30T09:00:00Z"}),
            &["/due_date"],
        ),
        (
            json!({"title": "t", "due_date": "9999-01-01T00:00:00Z"}),
            &["/due_date"],
        ),
        (
            json!({"title": "t", "timezone": "Mars/Olympus_Mons"}),
            &["/timezone"],
        ),
        (
            json!({"title": "t", "timezone": "../../etc/passwd"}),
            &["/timezone"],
        ),
        (
            json!({"title": "t", "is_recurring": true}),
            &["/recurring_interval"],
        ),
        (
            json!({"title": "t", "recurring_interval": "daily"}),
            &["/recurring_interval"],
        ),
        (
            json!({"title": "t", "is_recurring": true, "recurring_interval": "yearly"}),
            &["/recurring_interval"],
        ),
        (
            json!({"title": "t", "is_recurring": "true"}),
            &["/is_recurring"],
        ),
        (json!({"title": "t", "completed": true}), &["/completed"]),
        (
            json!({"title": "t", "id": "x", "version": 3, "user_id": "y"}),
            &["/id", "/user_id", "/version"],
        ),
        (json!({"title": "t", "a/b~c": 1}), &["/a~1b~0c"]),
        (json!([]), &[""]),
        (json!("t"), &[""]),
        (json!(null), &[""]),
    ];
    unchanged(&todo, || {
        for (body, places) in &cases {
            let mut found = todo.create(body.clone()).violations();
            found.sort();
            assert_eq!(found, *places, "{body}");
        }
    });
}

#[test]
fn the_content_type_is_not_what_makes_json() {
    let todo = TestUser::random();
    let call = || {
        todo.call("POST", todo.tasks_path())
            .body(r#"{"title": "t"}"#)
    };
    call().send().task(201);
    call().header("content-type", "text/plain").send().task(201);
}

#[test]
fn a_user_id_with_reserved_characters_is_encoded_in_every_url() {
    let stack = e2e::shared_stack();
    let someone = TestUser::random();
    let todo = TestUser::named(&format!("auth0|{}@a.b_c-d", &someone.user()[5..30]), stack);
    let answer = todo.create(json!({"title": "t"}));
    let location = answer.header("location").unwrap_or_default().to_owned();
    assert!(
        !location.contains('|') && !location.contains('@'),
        "{location}"
    );
    let task = answer.task(201);
    assert_eq!(task["user_id"], todo.user());
    assert_eq!(todo.call("GET", location).send().task(200), task);
    todo.create(json!({"title": "another"})).task(201);
    let link = todo
        .list("limit=1")
        .header("link")
        .unwrap_or_default()
        .to_owned();
    let target = link
        .trim_start_matches('<')
        .split('>')
        .next()
        .unwrap_or_default();
    assert_eq!(
        todo.call("GET", target).send().expect(200).json(),
        json!([task])
    );
    let record = todo.published_events();
    assert_eq!(record.len(), 2);
}

#[test]
fn creating_more_tasks_than_allowed_is_refused() {
    let todo = TestUser::random();
    let last = todo.created("the last");
    change(
        &todo,
        "UPDATE lanes SET tasks = most_tasks() WHERE user_id = $1",
    );
    unchanged(&todo, || {
        todo.create(json!({"title": "one more"}))
            .problem(409, "too-many-tasks");
    });
    todo.delete(string_member(&last, "id")).expect(204);
    todo.create(json!({"title": "in its place"})).task(201);
}
