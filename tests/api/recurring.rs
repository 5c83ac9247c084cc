//! How a task recurs: what a body may say of it, and `POST …/skip`. What follows a completion is in `tests/events`.

use std::thread;

use e2e::events::types;
use e2e::flow::{series, successor, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};

use crate::completing::NEVER;
use crate::unharmed::unchanged;

fn daily(todo: &TestUser) -> Value {
    todo.created_with(json!({
        "title": "t", "due_date": "2040-01-02T08:00:00Z", "recurrence": {"rule": "FREQ=DAILY"},
    }))
}

/// What a task says of its recurrence.
fn said(task: &Value) -> Value {
    let rule = &task["recurrence"]["rule"];
    let missed = &task["recurrence"]["missed"];
    json!([
        task["is_recurring"],
        task["recurring_interval"],
        rule,
        missed
    ])
}

#[test]
fn an_interval_is_the_simple_form_of_a_rule() {
    let todo = TestUser::random();
    let simple = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "weekly"}));
    let rule =
        todo.created_with(json!({"title": "t", "recurrence": {"rule": "freq=weekly;interval=1"}}));
    let expected = json!([true, "weekly", "FREQ=WEEKLY", "skip"]);
    assert_eq!((said(&simple), said(&rule)), (expected.clone(), expected));
    assert_eq!(simple["recurrence"], rule["recurrence"]);
}

#[test]
fn a_patch_changes_a_recurrence_member_by_member() {
    let todo = TestUser::random();
    let id = string_member(&todo.created("t"), "id").to_owned();
    for (patch, expected) in [
        (
            json!({"is_recurring": true, "recurring_interval": "daily"}),
            json!([true, "daily", "FREQ=DAILY", "skip"]),
        ),
        (
            json!({"recurrence": {"missed": "keep"}}),
            json!([true, "daily", "FREQ=DAILY", "keep"]),
        ),
        (
            json!({"recurring_interval": "monthly"}),
            json!([true, "monthly", "FREQ=MONTHLY", "keep"]),
        ),
        (
            json!({"recurrence": {"rule": "FREQ=YEARLY"}}),
            json!([true, null, "FREQ=YEARLY", "keep"]),
        ),
        (
            json!({"recurrence": {"missed": null}}),
            json!([true, null, "FREQ=YEARLY", "skip"]),
        ),
        (
            json!({"is_recurring": false}),
            json!([false, null, null, null]),
        ),
        (
            json!({"recurrence": {"rule": "FREQ=WEEKLY"}}),
            json!([true, "weekly", "FREQ=WEEKLY", "skip"]),
        ),
        (
            json!({"recurrence": null}),
            json!([false, null, null, null]),
        ),
        (
            json!({"recurring_interval": "weekly", "recurrence": {"missed": "keep"}}),
            json!([true, "weekly", "FREQ=WEEKLY", "keep"]),
        ),
        (
            json!({"is_recurring": false, "recurring_interval": null}),
            json!([false, null, null, null]),
        ),
    ] {
        let task = todo.patch(&id, patch.clone()).task(200);
        assert_eq!(said(&task), expected, "{patch}");
        unchanged(&todo, || {
            assert_eq!(todo.patch(&id, patch.clone()).task(200), task, "{patch}");
        });
    }
}

#[test]
fn a_recurrence_that_makes_no_sense_is_refused() {
    let todo = TestUser::random();
    let simple = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "daily"}));
    let never = todo.created("t");
    let refused = |task: &Value, patch: Value, pointer: &str| {
        unchanged(&todo, || {
            let problem = todo
                .patch(string_member(task, "id"), patch.clone())
                .expect(422)
                .json();
            assert_eq!(
                problem["errors"][0]["pointer"], pointer,
                "{patch}: {problem}"
            );
        });
    };
    refused(
        &simple,
        json!({"is_recurring": false}),
        "/recurring_interval",
    );
    refused(
        &simple,
        json!({"recurring_interval": null}),
        "/recurring_interval",
    );
    refused(
        &simple,
        json!({"recurrence": {"rule": "FREQ=HOURLY"}}),
        "/recurrence/rule",
    );
    refused(
        &simple,
        json!({"recurrence": {"rule": null}}),
        "/recurrence/rule",
    );
    refused(
        &simple,
        json!({"recurrence": {"until": "2040-01-01"}}),
        "/recurrence/until",
    );
    refused(&never, json!({"is_recurring": true}), "/recurring_interval");
    refused(
        &never,
        json!({"recurrence": {"missed": "keep"}}),
        "/recurrence/rule",
    );
    let body = json!({"title": "t", "recurrence": {"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}});
    unchanged(&todo, || {
        let problem = todo.create(body.clone()).expect(422).json();
        assert_eq!(problem["errors"][0]["pointer"], "/recurrence/rule");
    });
}

#[test]
fn skipping_brings_the_next_instance() {
    let todo = TestUser::random();
    let task = daily(&todo);
    let id = string_member(&task, "id");
    let skipped = todo.skip(id).task(200);
    assert_eq!(skipped["completed"], false);
    assert_eq!(skipped["skipped_at"], skipped["updated_at"]);
    assert_eq!(skipped["version"], 2);
    let next = successor(&todo, &task);
    assert_eq!(next["due_date"], "2040-01-03T08:00:00.000000Z");
    assert_eq!(
        (&next["occurrence"], &next["skipped_at"]),
        (&json!(2), &Value::Null)
    );
    wait_until_settled(&todo, Limit::DELIVERY);
    // Skipping again changes nothing.
    unchanged(&todo, || {
        assert_eq!(todo.skip(id).task(200), skipped);
    });
    let ids = |query: &str| -> Vec<Value> {
        todo.listed(query)
            .into_iter()
            .map(|task| task["id"].clone())
            .collect()
    };
    assert_eq!(ids("status=pending"), [next["id"].clone()]);
    assert_eq!(ids("status=skipped"), [task["id"].clone()]);
    assert!(ids("status=completed").is_empty());
    assert_eq!(
        types(&todo.published_events()),
        ["task.created", "task.skipped", "task.created"]
    );
}

#[test]
fn whatever_becomes_of_a_skipped_task_it_has_one_successor() {
    let todo = TestUser::random();
    let task = daily(&todo);
    let id = string_member(&task, "id");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(todo.skip(id).task(200)["version"], 2));
        }
    });
    let reopened = todo.reopen(id).task(200);
    assert_eq!(reopened["skipped_at"], Value::Null);
    todo.skip(id).task(200);
    let completed = todo.complete(id).task(200);
    assert_eq!(
        (&completed["completed"], &completed["skipped_at"]),
        (&json!(true), &Value::Null)
    );
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 2);
}

#[test]
fn the_last_of_a_series_is_skipped_without_a_next() {
    let todo = TestUser::random();
    let task =
        todo.created_with(json!({"title": "t", "recurrence": {"rule": "FREQ=DAILY;COUNT=1"}}));
    todo.skip(string_member(&task, "id")).task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 1);
}

#[test]
fn only_an_open_task_that_recurs_can_be_skipped() {
    let todo = TestUser::random();
    let once = todo.created("t");
    let task = daily(&todo);
    todo.complete(string_member(&task, "id")).task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    unchanged(&todo, || {
        let problem =
            |task: &Value| todo.skip(string_member(task, "id")).expect(409).json()["type"].clone();
        assert_eq!(problem(&once), "urn:todo-events:problem:not-recurring");
        assert_eq!(problem(&task), "urn:todo-events:problem:completed");
        todo.skip("018f0000-0000-7000-8000-000000000000")
            .expect(404);
    });
}

#[test]
fn skipping_may_require_a_version() {
    let todo = TestUser::random();
    let task = daily(&todo);
    let target = format!("{}/skip", todo.task_path(string_member(&task, "id")));
    wait_until_settled(&todo, Limit::DELIVERY);
    unchanged(&todo, || {
        for tag in NEVER {
            todo.call("POST", &target)
                .header("if-match", tag)
                .send()
                .expect(412);
        }
    });
    let call = todo.call("POST", &target).header("if-match", "\"1\"");
    assert_eq!(call.send().task(200)["version"], 2);
}
