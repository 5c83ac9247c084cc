//! Every statement of the components returns exactly one row with one column: Spin 4.0 waits for ever on a query
//! without rows.

use domain::notification_list::NotificationQuery;
use domain::task_list::TaskQuery;
use domain::user_id::UserId;
use e2e::database::Database;
use e2e::shared_stack;
use e2e::todo::{Todo, text};
use platform::outbox::Outbox;
use serde_json::json;
use spin_sdk::pg4::ParameterValue;
use uuid::Uuid;

use crate::statements::{Scratch, notifications, recurrence, task_api};

fn value(text: impl ToString) -> ParameterValue {
    ParameterValue::Str(text.to_string())
}

/// Each with parameters that fit nothing, and with some that fit a task.
#[test]
fn each_statement_returns_one_row_on_any_state() {
    let todo = Todo::someone();
    let task = todo.create_once("key", json!({"title": "t"})).task(201);
    let strangers = Uuid::now_v7();
    let mut database = Database::of(shared_stack());
    let mut one_row = |name: &str, statement: &str, parameters: Vec<ParameterValue>| {
        let rows = Scratch::begin(&mut database, "").run(statement, parameters);
        assert_eq!(rows.len(), 1, "{name}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&rows[0]).is_ok(),
            "{name}: {rows:?}"
        );
    };
    let outbox = Outbox::new("/todo/test", None);
    for (user, id) in [
        (todo.user(), text(&task, "id")),
        (todo.user(), &strangers.to_string()),
        ("nobody", &strangers.to_string()),
    ] {
        let emitting = |own: Vec<ParameterValue>| {
            outbox.parameters("local", [value(user), value(id)].into_iter().chain(own))
        };
        one_row("read", task_api::READ, vec![value(user), value(id)]);
        for key in ["key", "unknown"] {
            let hash = ParameterValue::Binary(vec![1; 32]);
            one_row(
                "first answer",
                task_api::FIRST_ANSWER,
                vec![value(user), value(key), hash],
            );
        }
        let nulls = || vec![ParameterValue::DbNull; 4];
        for patch in [
            "{}",
            r#"{"title": "u"}"#,
            r#"{"is_recurring": true}"#,
            r#"{"due_date": "2030-01-01T00:00:00Z"}"#,
        ] {
            one_row(
                "update",
                &task_api::update(),
                emitting([vec![value(patch)], nulls()].concat()),
            );
        }
        let mut stale = nulls();
        stale[0] = value("{7}");
        one_row(
            "update",
            &task_api::update(),
            emitting([vec![value("{}")], stale].concat()),
        );
        for change in [task_api::COMPLETE, task_api::REOPEN, task_api::DELETE] {
            one_row("change", &task_api::emitting(change), emitting(vec![]));
        }
        let fields = json!({"title": "t", "priority": "low", "tags": [], "timezone": "UTC", "is_recurring": false,
            "series_id": id, "occurrence": 2});
        let new = |own: Vec<ParameterValue>| {
            let parameters = [
                value(user),
                value(Uuid::now_v7()),
                value(&fields),
                ParameterValue::DbNull,
            ];
            outbox.parameters("local", parameters.into_iter().chain(own))
        };
        one_row("create", &task_api::create(false), new(vec![]));
        for key in ["key", "unknown"] {
            let own = vec![value(key), ParameterValue::Binary(vec![1; 32])];
            one_row("create with a key", &task_api::create(true), new(own));
        }
        let event = value(Uuid::now_v7());
        let own = vec![
            event,
            value(Uuid::now_v7()),
            ParameterValue::Int64(1),
            value(&fields),
        ];
        one_row("successor", &recurrence::create_successor(), emitting(own));
        let event = value(Uuid::now_v7());
        one_row("claim", recurrence::CLAIM, vec![event.clone()]);
        one_row("claim again", recurrence::CLAIM, vec![event]);
        one_row(
            "mark read",
            notifications::MARK_READ,
            vec![value(user), value(id)],
        );
        one_row(
            "mark all read",
            notifications::MARK_ALL_READ,
            vec![value(user)],
        );
        let owner = UserId::try_from(user.to_owned()).ok();
        for query in [
            "",
            "limit=1",
            "status=completed&priority=low&tags=x&q=x&due_before=2030-01-01T00:00:00Z",
        ] {
            if let (Some(owner), Ok(query)) = (&owner, TaskQuery::parse(query)) {
                let (statement, parameters) = task_api::list(owner, &query);
                one_row("list", &statement, parameters);
            }
        }
        for query in ["", "unread=true&limit=1"] {
            if let (Some(owner), Ok(query)) = (&owner, NotificationQuery::parse(query)) {
                let (statement, parameters) = notifications::list(owner, &query);
                one_row("list of notifications", &statement, parameters);
            }
        }
    }
}

/// The statements that are out of reach from here run behind the routes; one without a row would be a 500.
#[test]
fn each_route_answers_on_empty_state() {
    let todo = Todo::someone();
    let id = Uuid::now_v7().to_string();
    todo.list("").expect(200);
    todo.get(&id).expect(404);
    todo.patch(&id, json!({"title": "t"})).expect(404);
    todo.patch(&id, json!({"timezone": "UTC"})).expect(404);
    todo.complete(&id).expect(404);
    todo.reopen(&id).expect(404);
    todo.delete(&id).expect(404);
    let user = todo.tasks_path().replace("/tasks", "");
    todo.call("GET", format!("{user}/notifications"))
        .send()
        .expect(200);
    todo.call("POST", format!("{user}/notifications/{id}/read"))
        .send()
        .expect(404);
    todo.call("POST", format!("{user}/notifications/read-all"))
        .send()
        .expect(200);
    todo.call("GET", format!("{user}/analytics"))
        .send()
        .expect(200);
    let job = todo
        .call("POST", format!("/job/reminder-{id}"))
        .header("dapr-api-token", &todo.stack().secrets.app_token);
    job.send().expect(200);
    let relay = todo
        .call("POST", "/internal/relay")
        .header("dapr-api-token", &todo.stack().secrets.app_token);
    relay.send().expect(200);
    for component in [
        "task-api",
        "recurrence-handler",
        "reminder-handler",
        "event-relay",
    ] {
        let log = todo.stack().component_log(component);
        let lost: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("unexpected answer"))
            .collect();
        assert!(lost.is_empty(), "{lost:#?}");
    }
}
