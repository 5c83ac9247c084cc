//! The API's description: it is served, the service gives every answer described, and the check notices an answer that
//! is not described. (The harness checks every answer that any test gets.)

use std::collections::BTreeSet;

use domain::event::EventType;
use e2e::answer::Answer;
use e2e::openapi::{OPENAPI, check, described_answers, operation_id};
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn openapi_json_is_served_as_committed() {
    let todo = TestUser::random();
    let call = todo.call("GET", "/openapi.json").authorization(None);
    let answer = call.send().expect(200);
    assert_eq!(String::from_utf8_lossy(&answer.body), OPENAPI);
}

/// Every operation with a valid request: its method, target and body.
fn operations(
    todo: &TestUser,
    task: &str,
    notification: &str,
) -> Vec<(&'static str, String, Value)> {
    let (tasks, task) = (todo.tasks_path(), todo.task_path(task));
    let notifications = tasks.replace("/tasks", "/notifications");
    let none = || Value::Null;
    vec![
        ("GET", "/healthz".to_owned(), none()),
        ("GET", "/readyz".to_owned(), none()),
        ("GET", "/openapi.json".to_owned(), none()),
        ("GET", "/asyncapi.json".to_owned(), none()),
        (
            "GET",
            format!("/schemas/{}", EventType::TaskCreated.data_schema()),
            none(),
        ),
        ("GET", tasks.clone(), none()),
        ("POST", tasks.clone(), json!({"title": "t"})),
        (
            "POST",
            format!("{tasks}/batch"),
            json!({"operations": [{"op": "create", "task": {"title": "t"}}]}),
        ),
        ("GET", task.clone(), none()),
        ("PATCH", task.clone(), json!({"title": "u"})),
        ("POST", format!("{task}/complete"), none()),
        ("POST", format!("{task}/reopen"), none()),
        ("POST", format!("{task}/skip"), none()),
        ("DELETE", task, none()),
        ("GET", notifications.clone(), none()),
        (
            "POST",
            format!("{notifications}/{notification}/read"),
            none(),
        ),
        (
            "POST",
            format!("{notifications}/{notification}/snooze"),
            json!({"for": "PT10M"}),
        ),
        ("POST", format!("{notifications}/read-all"), none()),
        ("GET", tasks.replace("/tasks", "/analytics"), none()),
        ("POST", tasks.replace("/tasks", "/calendar"), none()),
        ("DELETE", tasks.replace("/tasks", "/calendar"), none()),
        ("GET", tasks.replace("/tasks", "/changes"), none()),
    ]
}

/// All but those of an outage.
#[test]
fn every_answer_described_is_given() {
    let todo = TestUser::random();
    // One that can be skipped, and has no next instance.
    let last = json!({"title": "t", "recurrence": {"rule": "FREQ=DAILY;COUNT=1"}});
    let (task, notification) = (todo.created_with(last), Uuid::now_v7().to_string());
    let due = todo.created_with(json!({"title": "t", "due_date": "2100-01-01T09:00:00Z"}));
    let notify = "INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, due_date)
        VALUES ($1::text::uuid, $2, $3::text::uuid, 't', now(), '2100-01-01T09:00:00Z')";
    let parameters: [&(dyn postgres::types::ToSql + Sync); 3] =
        [&notification, &todo.user(), &string_member(&due, "id")];
    let notified = todo.database().client().execute(notify, &parameters);
    assert_eq!(notified.ok(), Some(1));
    let encoded_user = todo
        .tasks_path()
        .split('/')
        .nth(2)
        .unwrap_or_default()
        .to_owned();
    let mut given = BTreeSet::new();
    for (method, target, body) in operations(&todo, string_member(&task, "id"), &notification) {
        let send = |target: &str, body: &str, token: Option<&str>, version: &str| {
            let call = todo.call(method, target).authorization(token);
            let call = call.header("if-match", version);
            match body {
                "null" => call.send(),
                body => call.body(body).send(),
            }
        };
        let valid = body.to_string();
        let token = format!("Bearer {}", todo.token());
        let elsewhere = |user: &str| target.replace(&encoded_user, user);
        let unknown = Uuid::now_v7().to_string();
        let of_nothing = target
            .replace(string_member(&task, "id"), &unknown)
            .replace("schema:task.created", "schema:task.mislaid")
            .replace(&notification, &unknown);
        let mut answers = vec![
            send(&target, &valid, None, "*"),
            send(&elsewhere("another"), &valid, Some(&token), "*"),
            send(&elsewhere("%ff"), &valid, Some(&token), "*"),
        ];
        if of_nothing != target {
            answers.push(send(&of_nothing, &valid, Some(&token), "*"));
        }
        if method == "GET" {
            answers.push(send(
                &format!("{target}?unknown=1"),
                &valid,
                Some(&token),
                "*",
            ));
        }
        if !body.is_null() {
            let large = "x".repeat(70_000);
            for body in [large.as_str(), "{}", r#"{"title": ""}"#] {
                answers.push(send(&target, body, Some(&token), "*"));
            }
        }
        if method != "GET" {
            answers.push(send(&target, &valid, Some(&token), "\"99\""));
        }
        answers.push(send(&target, &valid, Some(&token), "*"));
        let operation = operation_id(method, &target).unwrap_or_default();
        given.extend(
            answers
                .iter()
                .map(|answer| (operation.to_owned(), answer.status)),
        );
    }
    // A calendar program has no token.
    let calendar = todo.tasks_path().replace("/tasks", "/calendar");
    let path = todo.call("POST", calendar).send().expect(201).json();
    for (target, known) in [
        (string_member(&path, "path"), "\"another\""),
        (string_member(&path, "path"), "*"),
        ("/calendar/unknown.ics", "*"),
    ] {
        let call = todo.call("GET", target).authorization(None);
        let answer = call.header("if-none-match", known).send();
        let operation = operation_id("GET", target).unwrap_or_default();
        given.insert((operation.to_owned(), answer.status));
    }
    let mut described: BTreeSet<(String, u16)> = described_answers().into_iter().collect();
    // Other tests try the answers that need an outage, ten seconds, very many tasks or streams, or an expired number.
    described.retain(|(_, status)| ![408, 409, 410, 429, 503].contains(status));
    assert_eq!(given, described);
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Answer {
        status,
        headers: headers.collect(),
        body: body.as_bytes().to_vec(),
        trace: String::new(),
    }
}

#[test]
fn an_answer_that_is_not_described_is_noticed() {
    let todo = TestUser::random();
    let given = todo.create(json!({"title": "t"}));
    let (tasks, task) = (todo.tasks_path(), given.json());
    let check_creation = |change: &dyn Fn(&mut Answer)| {
        let mut answer = given.clone();
        change(&mut answer);
        check("POST", &tasks, &answer)
    };
    let with_body = |body: &Value| {
        let body = body.to_string().into_bytes();
        check_creation(&|answer| answer.body.clone_from(&body))
    };
    let with = |member: &str, value: Value| {
        let mut task = task.clone();
        task[member] = value;
        with_body(&task)
    };
    let without = |member: &str| {
        let mut task = task.clone();
        task.as_object_mut().map(|members| members.remove(member));
        with_body(&task)
    };
    let without_header =
        |name: &str| check_creation(&|answer| answer.headers.retain(|(known, _)| known != name));
    let with_header = |name: &str, value: &str| {
        check_creation(&|answer| {
            answer.headers.retain(|(known, _)| known != name);
            answer.headers.push((name.to_owned(), value.to_owned()));
        })
    };
    assert_eq!(check_creation(&|_| {}), Ok(()));
    for (misfit, what) in [
        (check_creation(&|answer| answer.status = 200), "200"),
        (check_creation(&|answer| answer.status = 500), "500"),
        (check_creation(&|answer| answer.body.clear()), "no JSON"),
        (with("colour", json!("red")), "colour"),
        (with("priority", json!("urgent")), "/priority"),
        (with("version", json!("1")), "/version"),
        (with("created_at", json!("yesterday")), "/created_at"),
        (with("tags", json!([1])), "/tags/0"),
        (with("title", Value::Null), "/title"),
        (without("anchor_day"), "anchor_day"),
        (without_header("etag"), "ETag"),
        (without_header("location"), "Location"),
        (without_header("content-type"), "content type"),
        (with_header("etag", "W/\"1\""), "ETag"),
        (
            with_header("content-type", "application/problem+json"),
            "content type",
        ),
        (with_header("set-cookie", "a=b"), "set-cookie"),
    ] {
        let noticed = misfit.expect_err(what);
        assert!(noticed.contains(what), "{what}: {noticed}");
    }
}

#[test]
fn a_refusal_that_is_not_described_is_noticed() {
    let json = [("content-type", "application/problem+json")];
    let refusal = |code: &str, title: &str, status: u16| {
        json!({"type": format!("urn:todo-events:problem:{code}"), "title": title, "status": status, "detail": "d"})
            .to_string()
    };
    let not_found = refusal("not-found", "Not found", 404);
    let not_allowed = refusal("method-not-allowed", "Method not allowed", 405);
    let allow = |methods: &'static str| [json[0], ("allow", methods)];
    let unavailable = refusal("unavailable", "Service unavailable", 503);
    let retry = |seconds: &'static str| [json[0], ("retry-after", seconds)];
    let health = [("content-type", "application/json")];
    let (unrouted, list, ready) = ("/nothing", "/api/alice/tasks", "/readyz");
    for (method, target, answer) in [
        ("GET", unrouted, answer(404, &json, &not_found)),
        ("PUT", list, answer(405, &allow("GET, POST"), &not_allowed)),
        ("GET", ready, answer(503, &retry("1"), &unavailable)),
    ] {
        assert_eq!(check(method, target, &answer), Ok(()));
    }
    for (method, target, answer) in [
        ("GET", unrouted, answer(200, &health, r#"{"status":"ok"}"#)),
        ("GET", unrouted, answer(404, &[], "")),
        ("GET", list, answer(404, &json, &not_found)),
        ("PUT", list, answer(405, &json, &not_allowed)),
        ("PUT", list, answer(405, &allow("GET"), &not_allowed)),
        ("GET", ready, answer(503, &json, &unavailable)),
        ("GET", ready, answer(503, &retry("soon"), &unavailable)),
        ("GET", ready, answer(503, &retry("1"), &not_found)),
        ("GET", ready, answer(200, &health, r#"{"status":"fine"}"#)),
    ] {
        assert!(
            check(method, target, &answer).is_err(),
            "{method} {target}: {answer:?}"
        );
    }
}
