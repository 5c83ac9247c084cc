//! `PATCH /api/{user_id}/tasks/{task_id}`.

use std::thread;

use e2e::events::types;
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};

use crate::unharmed::unchanged;

#[test]
fn absent_null_and_value_are_three_things() {
    let todo = TestUser::random();
    let before = todo.created_with(json!({
        "title": "Pay rent", "description": "d", "priority": "high", "tags": ["a", "b"],
        "due_date": "2030-01-31T09:00:00Z", "timezone": "Europe/Berlin", "is_recurring": true,
        "recurring_interval": "monthly",
    }));
    let id = string_member(&before, "id");
    let after = todo
        .patch(
            id,
            json!({"title": "Pay the rent", "description": null, "tags": ["c"]}),
        )
        .task(200);
    let mut expected = before.clone();
    expected["title"] = json!("Pay the rent");
    expected["description"] = Value::Null;
    expected["tags"] = json!(["c"]);
    expected["version"] = json!(2);
    expected["updated_at"] = after["updated_at"].clone();
    assert_eq!(after, expected);
    assert!(string_member(&after, "updated_at") > string_member(&before, "updated_at"));
    assert_eq!(todo.get(id).task(200), after);

    // Fields with a default go back to it.
    let cleared = todo
        .patch(
            id,
            json!({"priority": null, "tags": null, "timezone": null, "due_date": null, "is_recurring": null,
                "recurring_interval": null}),
        )
        .task(200);
    assert_eq!(cleared["priority"], "medium");
    assert_eq!(cleared["tags"], json!([]));
    assert_eq!(cleared["timezone"], "UTC");
    assert_eq!(cleared["due_date"], Value::Null);
    assert_eq!(cleared["anchor_day"], Value::Null);
    assert_eq!(cleared["is_recurring"], false);
    assert_eq!(cleared["version"], 3);

    let events = todo.published_events();
    assert_eq!(
        types(&events),
        ["task.created", "task.updated", "task.updated"]
    );
    assert_eq!(
        events[1]["data"]["changed_fields"],
        json!(["description", "tags", "title"])
    );
    assert_eq!(
        events[2]["data"]["changed_fields"],
        json!([
            "anchor_day",
            "due_date",
            "is_recurring",
            "priority",
            "recurrence",
            "recurring_interval",
            "tags",
            "timezone"
        ])
    );
}

#[test]
fn a_patch_that_changes_nothing_makes_no_event_and_no_version() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "t", "tags": ["a"], "due_date": "2030-01-31T09:00:00+01:00", "description": "d",
    }));
    let id = string_member(&task, "id");
    unchanged(&todo, || {
        for patch in [
            json!({}),
            json!({"title": "t"}),
            json!({"title": " t "}),
            json!({"due_date": "2030-01-31T08:00:00Z"}),
            json!({"tags": ["a", "a"], "priority": null, "timezone": null, "recurring_interval": null}),
        ] {
            assert_eq!(todo.patch(id, patch.clone()).task(200), task, "{patch}");
        }
    });
}

#[test]
fn the_anchor_day_follows_the_due_date_and_the_zone() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({"title": "t", "due_date": "2030-01-31T23:30:00Z"}));
    let id = string_member(&task, "id");
    assert_eq!(task["anchor_day"], 31);
    let patched = |patch: Value| todo.patch(id, patch).task(200)["anchor_day"].clone();
    assert_eq!(patched(json!({"timezone": "Europe/Berlin"})), 1);
    assert_eq!(patched(json!({"due_date": "2030-02-14T12:00:00Z"})), 14);
    assert_eq!(patched(json!({"title": "u"})), 14);
    assert_eq!(
        patched(json!({"due_date": "2030-02-28T23:30:00-11:00", "timezone": "Pacific/Pago_Pago"})),
        28
    );
    assert_eq!(patched(json!({"due_date": null})), Value::Null);
    assert_eq!(patched(json!({"timezone": "UTC"})), Value::Null);
    assert_eq!(patched(json!({"due_date": "2030-03-01T00:00:00Z"})), 1);
}

#[test]
fn if_match_guards_against_lost_updates() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    let patch = |tag: &str, title: &str| {
        let call = todo.call("PATCH", todo.task_path(id));
        call.header("if-match", tag)
            .json(&json!({"title": title}))
            .send()
    };
    patch("\"1\"", "second").task(200);
    unchanged(&todo, || {
        for stale in [
            "\"1\"",
            "\"3\"",
            "W/\"2\"",
            "2",
            "\"x\"",
            "\"02\"",
            "\"1\", \"3\"",
            "",
            "\"99999999999999999999\"",
        ] {
            patch(stale, "lost").problem(412, "precondition-failed");
        }
        // `If-Match` counts even if nothing would change.
        patch("\"1\"", "second").problem(412, "precondition-failed");
    });
    patch("*", "third").task(200);
    assert_eq!(patch("\"1\", \"3\"", "fourth").task(200)["version"], 4);
    let missing = todo.call(
        "PATCH",
        todo.task_path("00000000-0000-7000-8000-000000000000"),
    );
    let answer = missing
        .header("if-match", "*")
        .json(&json!({"title": "t"}))
        .send();
    answer.problem(404, "not-found");
}

#[test]
fn of_two_writers_with_one_version_one_wins() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let todo = &todo;
                scope.spawn(move || {
                    let call = todo
                        .call("PATCH", todo.task_path(id))
                        .header("if-match", "\"1\"");
                    call.json(&json!({"title": format!("writer {n}")}))
                        .send()
                        .status
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap_or_default())
            .collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 412).count(),
        3,
        "{statuses:?}"
    );
    assert_eq!(todo.get(id).task(200)["version"], 2);
}

#[test]
fn read_only_unknown_and_invalid_fields_are_named() {
    let todo = TestUser::random();
    let task = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "daily"}));
    let id = string_member(&task, "id");
    let read_only = [
        "id",
        "user_id",
        "completed",
        "completed_at",
        "series_id",
        "occurrence",
        "anchor_day",
        "version",
        "created_at",
        "updated_at",
    ];
    unchanged(&todo, || {
        for field in read_only {
            // A client cannot set it even to its present value.
            let answer = todo.patch(id, json!({field: task[field]}));
            assert_eq!(answer.violations(), [format!("/{field}")]);
        }
        let cases: Vec<(Value, &[&str])> = vec![
            (json!({"title": null}), &["/title"]),
            (
                json!({"title": "ok", "priority": "urgent", "nonsense": 1}),
                &["/nonsense", "/priority"],
            ),
            (json!({"is_recurring": false}), &["/recurring_interval"]),
            (
                json!({"recurring_interval": null}),
                &["/recurring_interval"],
            ),
            (json!({"tags": {"a": 1}}), &["/tags"]),
            (json!([{"title": "u"}]), &[""]),
            (json!(null), &[""]),
        ];
        for (patch, places) in cases {
            let mut found = todo.patch(id, patch.clone()).violations();
            found.sort();
            assert_eq!(found, places, "{patch}");
        }
    });
}

#[test]
fn nobody_elses_task_is_changed() {
    let todo = TestUser::random();
    let other = TestUser::random();
    let theirs = other.created("theirs");
    unchanged(&other, || {
        todo.patch(string_member(&theirs, "id"), json!({"title": "mine"}))
            .problem(404, "not-found");
        todo.patch(
            string_member(&theirs, "id"),
            json!({"due_date": "2030-01-01T00:00:00Z"}),
        )
        .problem(404, "not-found");
    });
    assert!(todo.stored_events().is_empty());
}
