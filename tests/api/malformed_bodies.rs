//! Bodies that are not what they should be: a clear 4xx, nothing changed, nothing of them in the logs.

use std::time::{Duration, Instant};

use e2e::logs;
use e2e::raw_http::Connection;
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::unharmed::unchanged;

const LIMIT: usize = 64 * 1024;

#[test]
fn a_body_that_is_not_json_is_refused() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let marker = format!("private-{}", Uuid::now_v7().simple());
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "MARKER",
        "{'title': 'MARKER'}",
        "{\"title\": \"MARKER\"} x",
        "{\"title\": \"MARKER\",}",
        "{\"title\": \"MARKER}",
        "{\"title\": NaN, \"description\": \"MARKER\"}",
        "{title: \"MARKER\"}",
        "{\"title\": \"MARKER\\ud800\"}",
        "{\"title\": \"MARKER\\x\"}",
        "{\"title\": 1e999}",
        "title=MARKER",
        "\u{feff}{\"title\": \"MARKER\"}",
        "{\"title\": \"MARKER\0\"}",
        "{\"title\": \"MARKER\n\"}",
        "\0",
        "<title>MARKER</title>",
    ]
    .iter()
    .map(|text| text.replace("MARKER", &marker).into_bytes())
    .collect();
    for bytes in [
        &b"\xff"[..],
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf8\x88\x80\x80\x80",
    ] {
        bodies.push([b"{\"title\": \"", marker.as_bytes(), bytes, b"\"}"].concat());
    }
    bodies.push(
        format!("{{\"title\": \"{marker}\"}}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect(),
    );
    bodies.push("[".repeat(30_000).into_bytes());
    bodies.push(format!("{}1{}", "{\"title\":".repeat(5_000), "}".repeat(5_000)).into_bytes());

    let mut traces = Vec::new();
    unchanged(&todo, || {
        for body in &bodies {
            for (method, target) in [
                ("POST", todo.tasks_path()),
                ("PATCH", todo.task_path(string_member(&task, "id"))),
            ] {
                let call = todo
                    .call(method, target)
                    .header("content-type", "application/json");
                let answer = call
                    .header("idempotency-key", "key")
                    .body(body.clone())
                    .send();
                traces.push(answer.trace.clone());
                answer.problem(400, "bad-request");
            }
        }
    });
    for trace in traces {
        assert_eq!(
            logs::line_of(todo.stack(), "task-api", &trace)["status"],
            400
        );
    }
    logs::assert_absent(todo.stack(), &[&marker]);
}

#[test]
fn refused_values_are_not_logged() {
    let todo = TestUser::random();
    let marker = format!("private-{}", Uuid::now_v7().simple());
    let values = [
        json!(marker),
        json!([marker]),
        json!({marker.as_str(): marker}),
        json!(7),
        json!(true),
        json!([[marker]]),
    ];
    let fields = [
        "title",
        "description",
        "priority",
        "tags",
        "due_date",
        "timezone",
        "is_recurring",
        "recurring_interval",
    ];
    let mut traces = Vec::new();
    let task = todo.created("t");
    unchanged(&todo, || {
        for field in fields {
            for value in &values {
                let is_valid = value.is_string() && ["title", "description"].contains(&field)
                    || value == &json!([marker]) && field == "tags"
                    || value.is_boolean() && field == "is_recurring";
                if is_valid {
                    continue;
                }
                let mut body = json!({"title": marker});
                body[field] = value.clone();
                for answer in [
                    todo.create(body),
                    todo.patch(string_member(&task, "id"), json!({field: value})),
                ] {
                    traces.push(answer.trace.clone());
                    assert!(
                        !String::from_utf8_lossy(&answer.body).contains(&marker),
                        "{answer:?}"
                    );
                    let places = answer.violations();
                    assert!(
                        places
                            .iter()
                            .all(|place| place.starts_with(&format!("/{field}"))),
                        "{places:?}"
                    );
                }
            }
        }
    });
    for trace in traces {
        assert_eq!(
            logs::line_of(todo.stack(), "task-api", &trace)["status"],
            422
        );
    }
    logs::assert_absent(todo.stack(), &[&marker]);
}

#[test]
fn nul_is_refused_in_every_text() {
    let todo = TestUser::random();
    let task = todo.created("t");
    unchanged(&todo, || {
        let cases: [(Value, &str); 9] = [
            (json!({"title": "a\0b"}), "/title"),
            (json!({"title": "\0"}), "/title"),
            (json!({"title": "t\0"}), "/title"),
            (json!({"description": "\0"}), "/description"),
            (json!({"tags": ["a", "\0"]}), "/tags/1"),
            (json!({"timezone": "UTC\0"}), "/timezone"),
            (json!({"priority": "low\0"}), "/priority"),
            (json!({"due_date": "2030-01-01T00:00:00Z\0"}), "/due_date"),
            (json!({"\0": 1}), "/\0"),
        ];
        for (patch, place) in cases {
            let mut body = patch.clone();
            if body.get("title").is_none() {
                body["title"] = json!("t");
            }
            assert_eq!(todo.create(body).violations(), [place]);
            assert_eq!(
                todo.patch(string_member(&task, "id"), patch).violations(),
                [place]
            );
        }
        let call = todo
            .call("PATCH", todo.task_path(string_member(&task, "id")))
            .header("if-match", "\"1\"");
        assert_eq!(
            call.json(&json!({"title": "\0"})).send().violations(),
            ["/title"]
        );
    });
}

/// A valid body of exactly `length` bytes.
fn padded(length: usize) -> Vec<u8> {
    let mut body = br#"{"title": "t"}"#.to_vec();
    body.resize(length, b' ');
    body
}

#[test]
fn a_body_of_64_kib_is_read_and_a_longer_one_is_not() {
    let todo = TestUser::random();
    let post = |body: Vec<u8>| todo.call("POST", todo.tasks_path()).body(body).send();
    let task = post(padded(LIMIT)).task(201);
    let patch = |body: Vec<u8>| {
        todo.call("PATCH", todo.task_path(string_member(&task, "id")))
            .body(body)
            .send()
    };
    patch(padded(LIMIT)).task(200);
    unchanged(&todo, || {
        post(padded(LIMIT + 1)).problem(413, "content-too-large");
        patch(padded(LIMIT + 1)).problem(413, "content-too-large");
    });
}

fn head<'a>(authorization: &'a str, framing: (&'a str, &'a str)) -> [(&'a str, &'a str); 2] {
    [("authorization", authorization), framing]
}

#[test]
fn an_announced_length_is_refused_before_the_body_comes() {
    let todo = TestUser::random();
    let authorization = format!("Bearer {}", todo.token());
    let path = todo.tasks_path();
    unchanged(&todo, || {
        for length in ["65537", "10000000000", "9223372036854775807"] {
            let headers = head(&authorization, ("content-length", length));
            let connection = Connection::to(todo.stack()).head("POST", path.as_bytes(), &headers);
            connection.answer().problem(413, "content-too-large");
        }
    });
}

#[test]
fn a_body_without_a_length_is_counted_as_it_comes() {
    let todo = TestUser::random();
    let authorization = format!("Bearer {}", todo.token());
    let path = todo.tasks_path();
    let headers = head(&authorization, ("transfer-encoding", "chunked"));
    let connect = || Connection::to(todo.stack()).head("POST", path.as_bytes(), &headers);
    // In two chunks, and in many.
    let answer = connect().chunk(&padded(LIMIT)).bytes(b"0\r\n\r\n").answer();
    assert_eq!(answer.status, 201, "{answer:?}");
    let parts = padded(LIMIT);
    let answer = parts
        .chunks(997)
        .fold(connect(), Connection::chunk)
        .bytes(b"0\r\n\r\n")
        .answer();
    assert_eq!(answer.status, 201, "{answer:?}");
    unchanged(&todo, || {
        // Refused as soon as it exceeds the limit, although its end never comes.
        connect()
            .chunk(&padded(LIMIT))
            .chunk(b" ")
            .answer()
            .problem(413, "content-too-large");
        connect()
            .chunk(&padded(3_000_000))
            .answer()
            .problem(413, "content-too-large");
    });
}

#[test]
fn a_body_that_does_not_come_holds_its_place_for_ten_seconds() {
    let todo = TestUser::random();
    let authorization = format!("Bearer {}", todo.token());
    let path = todo.tasks_path();
    let headers = head(&authorization, ("content-length", "100"));
    unchanged(&todo, || {
        let began = Instant::now();
        let connection = Connection::to(todo.stack()).head("POST", path.as_bytes(), &headers);
        let answer = connection.bytes(b"{\"title\"").answer();
        answer.problem(408, "request-timeout");
        assert!(began.elapsed() >= Duration::from_secs(9), "{began:?}");
    });
}

#[test]
fn a_body_that_ends_early_changes_nothing() {
    let todo = TestUser::random();
    let authorization = format!("Bearer {}", todo.token());
    let path = todo.tasks_path();
    let refused = |connection: Connection| {
        // Whether a client that hung up still gets an answer depends on the host.
        if let Some(answer) = connection.end().try_answer() {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    };
    unchanged(&todo, || {
        for (framing, body) in [
            // The body is valid JSON, but shorter than announced.
            (("content-length", "100"), &br#"{"title": "t"}"#[..]),
            (("content-length", "14"), br#"{"title": "t""#),
            (
                ("transfer-encoding", "chunked"),
                b"e\r\n{\"title\": \"t\"}\r\n",
            ),
            (("transfer-encoding", "chunked"), b"e\r\n{\"title\": "),
            (
                ("transfer-encoding", "chunked"),
                b"zz\r\n{\"title\": \"t\"}\r\n0\r\n\r\n",
            ),
            (("content-length", "fourteen"), br#"{"title": "t"}"#),
            (("content-length", "-14"), br#"{"title": "t"}"#),
        ] {
            let headers = head(&authorization, framing);
            refused(
                Connection::to(todo.stack())
                    .head("POST", path.as_bytes(), &headers)
                    .bytes(body),
            );
        }
    });
}

#[test]
fn text_that_looks_like_sql_or_markup_is_kept_as_it_is() {
    let todo = TestUser::random();
    let texts = [
        "'; DROP TABLE tasks; --",
        "\" OR 1=1",
        "$1",
        "%s%n",
        "\\'; SELECT pg_sleep(10); --",
        "{\"a\": 1}",
        "NULL",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "{{ jwt_secret }}",
        "${HOME}",
        "a\u{202e}b",
        "\u{1f469}\u{200d}\u{1f469}",
        "\u{7f}",
        "line\nbreak",
        "tab\ttab",
        "\u{1}",
        "\u{fffd}",
        "e\u{301}",
        "\\u0000",
        "\\x00",
    ];
    for sql in texts {
        let task = todo.created_with(
            json!({"title": sql, "description": sql, "tags": [sql.replace(',', ";")]}),
        );
        assert_eq!(task["title"], sql);
        assert_eq!(task["description"], sql);
        assert_eq!(task["tags"], json!([sql.replace(',', ";")]));
        assert_eq!(todo.get(string_member(&task, "id")).task(200), task);
        let query: String =
            percent_encoding::utf8_percent_encode(sql, percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        assert!(
            todo.listed(&format!("q={query}")).contains(&task),
            "{sql:?}"
        );
        let tag = sql.replace(',', ";");
        let tag = percent_encoding::utf8_percent_encode(&tag, percent_encoding::NON_ALPHANUMERIC)
            .to_string();
        assert!(
            todo.listed(&format!("tags={tag}")).contains(&task),
            "{sql:?}"
        );
        todo.patch(
            string_member(&task, "id"),
            json!({"description": format!("{sql}{sql}")}),
        )
        .task(200);
    }
    assert_eq!(todo.listed("limit=200").len(), texts.len());
    // As events, too.
    let published = todo.published_events();
    let titles: Vec<&str> = published
        .iter()
        .filter(|event| event["type"] == "task.created")
        .map(|event| string_member(&event["data"], "title"))
        .collect();
    assert_eq!(titles, texts);
}
