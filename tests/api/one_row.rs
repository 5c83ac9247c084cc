//! Every statement of the components returns exactly one row with one column: Spin 4.0 never returns from a query
//! without rows.

use domain::notification_list::NotificationQuery;
use domain::task_list::TaskQuery;
use domain::user_id::UserId;
use e2e::database::Database;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use platform::call::Call;
use platform::lists;
use platform::outbox::EventDraft;
use serde_json::json;
use spin_sdk::pg4::ParameterValue;
use uuid::Uuid;

use crate::scratch::Scratch;

/// Each with parameters that fit nothing, and with some that fit a task.
#[test]
fn each_statement_returns_one_row_on_any_state() {
    let todo = TestUser::random();
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
    for (user, id) in [
        (todo.user(), string_member(&task, "id")),
        (todo.user(), &strangers.to_string()),
        ("nobody", &strangers.to_string()),
    ] {
        let id = Uuid::parse_str(id).unwrap_or_default();
        let mut call = |name: &str, call: Call| {
            let (statement, parameters) = call.statement();
            one_row(name, &statement, parameters);
        };
        let draft = || EventDraft::new("local").json();
        let of_task = |function| {
            Call::of(function)
                .text("user_id", user)
                .uuid("task_id", id)
                .json("outbox", draft())
        };
        for patch in [
            "{}",
            r#"{"title": "u"}"#,
            r#"{"is_recurring": true}"#,
            r#"{"due_date": "2030-01-01T00:00:00Z"}"#,
        ] {
            for versions in [None, Some([7].as_slice())] {
                let update = of_task("update_task")
                    .json("patch", patch)
                    .bigints("versions", versions);
                call("update", update);
            }
        }
        for function in ["complete_task", "reopen_task", "delete_task"] {
            call(function, of_task(function));
            let stale = of_task(function).bigints("versions", Some(&[7]));
            call(function, stale);
        }
        let fields = json!({"title": "t", "priority": "low", "tags": [], "timezone": "UTC", "is_recurring": false,
            "series_id": id, "occurrence": 2})
        .to_string();
        for key in [None, Some("key"), Some("unknown")] {
            let create = Call::of("create_task")
                .text("user_id", user)
                .uuid("task_id", Uuid::now_v7())
                .json("fields", fields.clone())
                .optional_text("key", key)
                .bytes("request_hash", key.map(|_| vec![1; 32]))
                .json("outbox", draft());
            call("create", create);
        }
        let successor = of_task("create_successor")
            .uuid("event_id", Uuid::now_v7())
            .integer("occurrence", 1)
            .uuid("successor_id", Uuid::now_v7())
            .json("fields", fields.clone());
        call("successor", successor);
        let read = Call::of("read_task")
            .text("user_id", user)
            .uuid("task_id", id);
        call("read", read);
        for operations in [
            json!([]),
            json!([{"op": "delete", "task_id": id, "event_id": Uuid::now_v7()}]),
        ] {
            let batch = Call::of("change_tasks")
                .text("user_id", user)
                .json("operations", operations.to_string())
                .json("outbox", draft());
            call("batch", batch);
        }
        let replace = Call::of("replace_calendar")
            .text("user_id", user)
            .bytes("secret_hash", Some(vec![7; 32]));
        call("new calendar", replace);
        call(
            "no calendar",
            Call::of("revoke_calendar").text("user_id", user),
        );
        let calendar = Call::of("read_calendar")
            .bytes("secret_hash", Some(vec![7; 32]))
            .json("known", "[]");
        call("calendar", calendar);
        let read = Call::of("read_notification")
            .text("user_id", user)
            .uuid("notification_id", id);
        call("mark read", read);
        call(
            "mark all read",
            Call::of("read_notifications").text("user_id", user),
        );
        let snooze = Call::of("snooze_notification")
            .text("user_id", user)
            .uuid("notification_id", id)
            .optional_bigint("seconds", Some(60))
            .instant("until", None)
            .json("outbox", draft());
        call("snooze", snooze);
        let apply = of_task("apply_reminders")
            .uuid("event_id", Uuid::now_v7())
            .bigint("sequence", 1)
            .instants("moments", &[])
            .instant("happened_at", None)
            .instant("due_date", None)
            .optional_text("reason", Some("completed"));
        call("apply", apply);
        let ring = Call::of("ring_reminder")
            .uuid("task_id", id)
            .json("outbox", draft());
        call("ring", ring);
        let notify = Call::of("notify_user")
            .uuid("event_id", Uuid::now_v7())
            .uuid("notification_id", Uuid::now_v7())
            .text("user_id", user)
            .uuid("task_id", id)
            .text("task_title", "t")
            .instant("remind_at", None);
        call("notify", notify);
        let owner = UserId::try_from(user.to_owned()).ok();
        for query in [
            "",
            "limit=1",
            "status=completed&priority=low&tags=x&q=x&due_before=2030-01-01T00:00:00Z",
        ] {
            if let (Some(owner), Ok(query)) = (&owner, TaskQuery::parse(query)) {
                let (statement, parameters) = lists::tasks::statement(owner, &query);
                one_row("list", &statement, parameters);
            }
        }
        for query in ["", "unread=true&limit=1"] {
            if let (Some(owner), Ok(query)) = (&owner, NotificationQuery::parse(query)) {
                let (statement, parameters) = lists::notifications::statement(owner, &query);
                one_row("list of notifications", &statement, parameters);
            }
        }
    }
}

/// The statements that are out of reach from here run behind the routes; one without a row would be a 500.
#[test]
fn each_route_answers_on_empty_state() {
    let todo = TestUser::random();
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
    todo.call("DELETE", format!("{user}/calendar"))
        .send()
        .expect(204);
    todo.call("POST", format!("{user}/calendar"))
        .send()
        .expect(201);
    todo.call("GET", format!("{user}/changes"))
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
        "change-feed",
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
