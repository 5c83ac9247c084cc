//! Paths, queries and header fields that are not what they should be.

use e2e::answer::Answer;
use e2e::raw_http::Connection;
use e2e::test_user::{TestUser, string_member};
use serde_json::json;

use crate::unharmed::unchanged;

fn raw(todo: &TestUser, method: &str, target: &[u8]) -> Answer {
    let authorization = format!("Bearer {}", todo.token());
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-length", "0"),
    ];
    Connection::to(todo.stack())
        .head(method, target, &headers)
        .answer()
}

/// Percent-encoded bytes that are no text: stray, overlong, a surrogate, beyond Unicode, NUL.
const NO_TEXT: [&str; 7] = [
    "%ff",
    "%80",
    "%c3%28",
    "%c0%af",
    "%ed%a0%80",
    "%f4%90%80%80",
    "%00",
];

#[test]
fn a_path_that_is_no_text_is_refused() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    unchanged(&todo, || {
        for bytes in NO_TEXT {
            for target in [
                format!("/api/{bytes}/tasks"),
                format!("/api/{}{bytes}/tasks", todo.user()),
                todo.task_path(bytes),
                todo.task_path(&format!("{id}{bytes}")),
                format!("{}/complete{bytes}", todo.task_path(id)),
                format!("/{bytes}"),
            ] {
                for method in ["GET", "POST", "DELETE"] {
                    raw(&todo, method, target.as_bytes()).problem(400, "bad-request");
                }
            }
        }
    });
}

/// The host may refuse these itself, in its own words.
#[test]
fn raw_bytes_in_the_target_are_refused() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let path = todo.task_path(string_member(&task, "id"));
    unchanged(&todo, || {
        for bytes in [
            &b"\xff"[..],
            b"\xc3\x28",
            b"\xc3\xa9",
            b"\0",
            b"\x01",
            b" ",
            b"\x7f",
            b"<",
            b"^",
        ] {
            for target in [
                [path.as_bytes(), bytes].concat(),
                [b"/api/", bytes, b"/tasks"].concat(),
                [path.as_bytes(), b"/complete", bytes].concat(),
            ] {
                let answer = raw(&todo, "DELETE", &target);
                assert!(
                    (400..500).contains(&answer.status),
                    "{target:?}: {answer:?}"
                );
            }
        }
    });
}

#[test]
fn a_query_that_is_no_text_is_refused() {
    let todo = TestUser::random();
    todo.created("t");
    let list = |query: &str| {
        raw(
            &todo,
            "GET",
            format!("{}?{query}", todo.tasks_path()).as_bytes(),
        )
    };
    for bytes in NO_TEXT {
        for parameter in [
            "q",
            "tags",
            "status",
            "cursor",
            "sort_by",
            "limit",
            "due_before",
        ] {
            assert_eq!(
                list(&format!("{parameter}=a{bytes}")).violations(),
                [parameter]
            );
        }
        // A parameter's name in an answer is text in any case.
        assert_eq!(list(&format!("{bytes}=1")).violations().len(), 1);
    }
    for query in [&b"q=\xff"[..], b"q=\xc3\x28", b"q=\0", b"q=a b", b"\xff=1"] {
        let target = [todo.tasks_path().as_bytes(), b"?", query].concat();
        let answer = raw(&todo, "GET", &target);
        assert!((400..500).contains(&answer.status), "{query:?}: {answer:?}");
    }
}

#[test]
fn a_path_with_half_an_escape_is_not_found() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    unchanged(&todo, || {
        for id in [
            format!("{id}%"),
            format!("{id}%4"),
            format!("{id}%zz"),
            format!("%{id}"),
            "..".to_owned(),
            ".".to_owned(),
            format!("{id}%2Fcomplete"),
            format!("{id};x=1"),
            format!("{id}%3F"),
            format!("{id}%0A"),
            "-".repeat(36),
            "'%20OR%201=1--".to_owned(),
        ] {
            raw(&todo, "DELETE", todo.task_path(&id).as_bytes()).problem(404, "not-found");
        }
        // The same path to a host that would resolve the dots.
        raw(
            &todo,
            "DELETE",
            format!("/api/x/../{}/tasks/{id}", todo.user()).as_bytes(),
        )
        .problem(404, "not-found");
    });
}

#[test]
fn a_request_longer_than_any_is_refused() {
    let todo = TestUser::random();
    let query = format!("{}?q={}", todo.tasks_path(), "x".repeat(20_000));
    assert_eq!(raw(&todo, "GET", query.as_bytes()).violations(), ["q"]);
    let path = todo.task_path(&"x".repeat(20_000));
    raw(&todo, "GET", path.as_bytes()).problem(404, "not-found");
    let endless = todo.task_path(&"x".repeat(100_000));
    let answer = raw(&todo, "GET", endless.as_bytes());
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    let answer = todo
        .call("GET", todo.tasks_path())
        .header("x-large", &"x".repeat(1_000_000))
        .try_send();
    assert!(answer.is_err() || answer.is_ok_and(|answer| (400..500).contains(&answer.status)));
}

/// Bytes that are not even UTF-8 do not get here: Spin itself answers 500 to them.
#[test]
fn header_fields_beyond_ascii_are_refused_or_ignored() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let id = string_member(&task, "id");
    let request = |method: &str, target: &str, lines: &[&[u8]]| {
        let head = [
            format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 15\r\n").as_bytes(),
            &lines.concat(),
            b"\r\n{\"title\": \"u\"} ",
        ]
        .concat();
        Connection::to(todo.stack()).bytes(&head).answer()
    };
    let authorization = format!("authorization: Bearer {}\r\n", todo.token());
    let authorization = authorization.as_bytes();
    unchanged(&todo, || {
        let accented = format!("authorization: Bearer \u{e9}{}\r\n", todo.token());
        request("POST", &todo.tasks_path(), &[accented.as_bytes()]).problem(401, "unauthenticated");
        let key = request(
            "POST",
            &todo.tasks_path(),
            &[
                authorization,
                "idempotency-key: schl\u{fc}ssel\r\n".as_bytes(),
            ],
        );
        assert_eq!(key.violations(), ["Idempotency-Key"]);
        request(
            "PATCH",
            &todo.task_path(id),
            &[authorization, "if-match: \u{e9}\r\n".as_bytes()],
        )
        .problem(412, "precondition-failed");
        let twice = [
            authorization,
            b"if-match: \"1\"\r\nif-match: \"7\"\r\n".as_slice(),
        ];
        let answer = request("PATCH", &todo.task_path("x"), &twice);
        answer.problem(404, "not-found");
    });
    // An invalid trace is not passed on.
    for trace in [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "x",
        "\u{e9}",
        "'; DROP TABLE events; --",
    ] {
        let traced = todo
            .call("POST", todo.tasks_path())
            .header("traceparent", trace);
        traced.json(&json!({"title": "t"})).send().task(201);
    }
    let stored = "SELECT count(*) FROM events WHERE user_id = $1 AND traceparent IS NOT NULL";
    assert_eq!(todo.database().json(stored, &[todo.user()]), 1);
}
