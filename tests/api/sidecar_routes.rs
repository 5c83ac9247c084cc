//! Routes that only the sidecar may call.

use std::thread;

use e2e::answer::Answer;
use e2e::logs;
use e2e::raw_http::Connection;
use e2e::test_user::{Call, TestUser, string_member};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::unharmed::unchanged;

const EVENTS: &str = "/api/events/tasks";

/// Every route that requires the app's token.
const ROUTES: [&str; 5] = [
    EVENTS,
    "/api/events/reminders",
    "/api/events/dead-letters",
    "/job/reminder-00000000-0000-7000-8000-000000000000",
    "/internal/relay",
];

/// A call as the sidecar makes it, but for its token.
fn delivery<'a>(todo: &'a TestUser, route: &str, body: &Value) -> Call<'a> {
    todo.call("POST", route)
        .authorization(None)
        .header("content-type", "application/cloudevents+json")
        .body(body.to_string())
}

fn delivered(todo: &TestUser, body: &Value) -> Answer {
    let token = &todo.stack().secrets.app_token;
    delivery(todo, EVENTS, body)
        .header("dapr-api-token", token)
        .send()
}

/// An event that would make a next instance, of a task that the real events have not completed.
fn completion(todo: &TestUser) -> Value {
    let task = todo
        .created_with(json!({"title": "t", "is_recurring": true, "recurring_interval": "daily"}));
    let id = string_member(&task, "id");
    let mut data = task.clone();
    data["task_id"] = json!(id);
    data["completed"] = json!(true);
    data["completed_at"] = json!("2030-01-01T00:00:00.000000Z");
    json!({
        "specversion": "1.0", "id": Uuid::now_v7(), "source": "/todo/test", "type": "task.completed",
        "subject": id, "time": "2030-01-01T00:00:00.000000Z", "datacontenttype": "application/json",
        "partitionkey": todo.user(), "sequence": "00000000000000000002", "data": data,
    })
}

fn is_claimed(todo: &TestUser, event: &Value) -> bool {
    let claims = "SELECT count(*) FROM processed_events WHERE event_id = $1::text::uuid";
    todo.database().json(claims, &[string_member(event, "id")]) != 0
}

#[test]
fn without_the_apps_token_nothing_happens() {
    let todo = TestUser::random();
    let event = completion(&todo);
    let secrets = todo.stack().secrets.clone();
    let short = &secrets.app_token[..15];
    let longer = format!("{}x", secrets.app_token);
    let user_token = format!("Bearer {}", todo.token());
    unchanged(&todo, || {
        for route in ROUTES {
            let call = || delivery(&todo, route, &event);
            let token = |token: &str| call().header("dapr-api-token", token);
            for call in [
                call(),
                call().authorization(Some(&user_token)),
                token(""),
                token(short),
                token(&longer),
                token(&secrets.app_token.to_uppercase()),
                // The other direction's token.
                token(&secrets.dapr_token),
                token(&secrets.app_token).header("dapr-api-token", "another"),
            ] {
                call.send().problem(401, "unauthenticated");
            }
            // Without the token not even the allowed methods are shown.
            todo.call("GET", route)
                .send()
                .problem(401, "unauthenticated");
        }
    });
    assert!(!is_claimed(&todo, &event));
    logs::assert_absent(todo.stack(), &[]);

    // It was the token that was wrong, nothing else.
    delivered(&todo, &event).expect(200);
    assert!(is_claimed(&todo, &event));
    assert_eq!(todo.listed("").len(), 2);
}

/// Other ways to write a path that a proxy or a server may take for the same.
fn spellings(path: &str) -> Vec<String> {
    let mut spellings = vec![
        path.to_uppercase(),
        path.replacen("/", "\\", 1),
        path.bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect::<String>()
            .replace("%2f", "/"),
        format!("//localhost{path}"),
        format!("http://localhost{path}"),
        format!("http://localhost/{path}"),
    ];
    for end in [
        "/", "//", "/.", "/..", "%2f", "%20", ";", ";a=b", "?", "?a=b", "#", "/x", "/x/..",
    ] {
        spellings.push(format!("{path}{end}"));
    }
    for (at, _) in path.match_indices('/') {
        let (before, after) = (&path[..at], &path[at + 1..]);
        for slash in [
            "//",
            "/./",
            "/x/../",
            "/../",
            "%2f",
            "/%2e/",
            "/x/%2e%2e/",
            "/%2f",
            "/;/",
            "\\",
        ] {
            spellings.push(format!("{before}{slash}{after}"));
        }
        let (first, rest) = after.split_at(1);
        spellings.push(format!("{before}/%{:02x}{rest}", first.as_bytes()[0]));
        spellings.push(format!("{before}/{}{rest}", first.to_uppercase()));
    }
    // A target must begin with a slash or be a whole URL.
    spellings.retain(|target| target.starts_with('/') || target.starts_with("http://"));
    spellings
}

#[test]
fn no_spelling_of_the_path_gets_around_the_token() {
    let todo = TestUser::random();
    let event = completion(&todo);
    let body = event.to_string();
    let length = body.len().to_string();
    let user_token = format!("Bearer {}", todo.token());
    let mut tried = 0;
    unchanged(&todo, || {
        for target in ROUTES.iter().flat_map(|route| spellings(route)) {
            for (authorization, refusals) in [
                (None, &[401, 404][..]),
                (Some(&user_token), &[401, 403, 404]),
            ] {
                let mut headers = vec![
                    ("content-type", "application/cloudevents+json"),
                    ("content-length", length.as_str()),
                ];
                headers.extend(authorization.map(|token| ("authorization", token.as_str())));
                let answer = Connection::to(todo.stack())
                    .head("POST", target.as_bytes(), &headers)
                    .bytes(body.as_bytes())
                    .answer();
                assert!(
                    refusals.contains(&answer.status),
                    "POST {target}: {answer:?}"
                );
                tried += 1;
            }
        }
    });
    assert!(!is_claimed(&todo, &event));
    assert!(tried > 400, "{tried} requests");
}

#[test]
fn other_methods_are_not_allowed() {
    let todo = TestUser::random();
    for route in ROUTES {
        let call = todo
            .call("GET", route)
            .header("dapr-api-token", &todo.stack().secrets.app_token);
        let answer = call.send();
        assert_eq!(answer.header("allow"), Some("POST"));
        answer.problem(405, "method-not-allowed");
    }
}

#[test]
fn a_delivery_again_and_many_at_once_change_nothing_more() {
    let todo = TestUser::random();
    let event = completion(&todo);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(
                    delivered(&todo, &event).expect(200).json(),
                    json!({"status": "SUCCESS"})
                )
            });
        }
    });
    unchanged(&todo, || {
        delivered(&todo, &event).expect(200);
        // The same completion under another id changes nothing either.
        let mut another = event.clone();
        another["id"] = json!(Uuid::now_v7());
        delivered(&todo, &another).expect(200);
    });
    assert_eq!(todo.listed("").len(), 2);
}

#[test]
fn a_malformed_event_is_dropped_unclaimed_and_not_logged() {
    let todo = TestUser::random();
    let event = completion(&todo);
    // Text that is nothing but a title.
    let marker = format!("private {}", Uuid::now_v7().simple());
    let with = |pointer: &str, value: Value| {
        let mut event = event.clone();
        event["data"]["title"] = json!(marker);
        if let Some(place) = event.pointer_mut(pointer) {
            *place = value;
        }
        event
    };
    let mut events = vec![json!({}), json!([]), json!(null), json!(marker)];
    for pointer in [
        "/specversion",
        "/id",
        "/time",
        "/sequence",
        "/data",
        "/data/task_id",
        "/data/user_id",
        "/data/title",
        "/data/tags",
        "/data/timezone",
        "/data/recurring_interval",
        "/data/recurrence",
        "/data/recurrence/rule",
        "/data/occurrence",
    ] {
        for value in [
            json!(null),
            json!(7.5),
            json!(marker),
            json!({"nested": marker}),
        ] {
            // Text is a good title, and one of the two is enough to say how a task recurs.
            let is_good = match pointer {
                "/data/title" => value.is_string(),
                "/data/recurring_interval" | "/data/recurrence" => value.is_null(),
                _ => false,
            };
            if !is_good {
                events.push(with(pointer, value));
            }
        }
    }
    let mut without_rule = with("/data/recurrence", Value::Null);
    without_rule["data"]["recurring_interval"] = Value::Null;
    events.push(without_rule);
    events.push(with("/data/title", json!("a\0b")));
    events.push(with("/data/due_date", json!("tomorrow")));
    events.push(with("/data/user_id", json!("events")));
    events.push(with("/data/timezone", json!("Mars/Olympus_Mons")));
    let mut bodies: Vec<Vec<u8>> = events
        .iter()
        .map(|event| event.to_string().into_bytes())
        .collect();
    bodies.extend([&b""[..], b"{", b"\xff\xfe", b"{\"id\": \"\xff\"}"].map(<[u8]>::to_vec));
    bodies.extend([vec![b'['; 20_000], vec![b' '; 70_000]]);
    let mut traces = Vec::new();
    unchanged(&todo, || {
        let token = &todo.stack().secrets.app_token;
        for body in bodies {
            let start = String::from_utf8_lossy(&body[..body.len().min(1_000)]).into_owned();
            let call = todo
                .call("POST", EVENTS)
                .header("dapr-api-token", token)
                .body(body);
            let answer = call.send().expect(200);
            assert_eq!(answer.json(), json!({"status": "DROP"}), "{start}");
            traces.push(answer.trace);
        }
    });
    for trace in traces {
        assert_eq!(
            logs::line_of(todo.stack(), "recurrence-handler", &trace)["outcome"],
            "dropped"
        );
    }
    assert!(!is_claimed(&todo, &event));
    logs::assert_absent(todo.stack(), &[&marker]);
}

#[test]
fn a_handler_ignores_an_event_of_another_type() {
    let todo = TestUser::random();
    let mut event = completion(&todo);
    unchanged(&todo, || {
        for event_type in [
            "task.created",
            "task.updated",
            "task.deleted",
            "something.else",
        ] {
            event["type"] = json!(event_type);
            assert_eq!(
                delivered(&todo, &event).expect(200).json(),
                json!({"status": "SUCCESS"})
            );
        }
    });
}
