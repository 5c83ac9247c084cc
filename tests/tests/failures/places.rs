//! Clients that take their time. The host has a number of places for requests, and no limit of time for them.

use std::time::{Duration, Instant};

use e2e::logs::lines_of;
use e2e::raw_http::Connection;
use e2e::todo::Todo;
use e2e::wait::{Limit, until};
use serde_json::{Value, json};

use crate::own_stack::OwnStack;

/// More than the REST API has places: each takes two of the host's 1000.
const CLIENTS: usize = 600;

/// A body has 10 s, and so has a client to take its answer.
const HELD: Limit = Limit::new("places are free again", 20);

#[test]
fn bodies_that_do_not_come_hold_their_places_no_longer_than_ten_seconds() {
    let stack = OwnStack::start();
    let slow = Todo::someone_on(stack.endpoints());
    let todo = Todo::someone_on(stack.endpoints());
    let authorization = format!("Bearer {}", slow.token());
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-length", "100"),
    ];
    // Nothing else follows, as long as these connections are there.
    let clients: Vec<Connection> = (0..CLIENTS)
        .map(|_| {
            Connection::to(stack.endpoints())
                .head("POST", slow.tasks_path().as_bytes(), &headers)
                .bytes(b"{")
        })
        .collect();
    // What the host says in its own words is no answer of the API.
    let create = || {
        let authorization = format!("Bearer {}", todo.token());
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-length", "13"),
        ];
        let connection =
            Connection::to(stack.endpoints()).head("POST", todo.tasks_path().as_bytes(), &headers);
        connection.bytes(br#"{"title":"t"}"#).status()
    };
    let full = create();
    until("a create", HELD, || match create() {
        Some(201) => Ok(()),
        status => Err(format!("{status:?}")),
    });
    assert_ne!(full, Some(201), "the clients did not take all places");
    drop(clients);
}

#[test]
fn a_reader_that_does_not_read_holds_its_place_no_longer_than_ten_seconds() {
    let stack = OwnStack::start();
    let todo = Todo::someone_on(stack.endpoints());
    // A page of about a megabyte.
    let description = "\u{1f331}".repeat(1000);
    for _ in 0..200 {
        todo.created_with(json!({"title": "t", "description": description}));
    }
    // One after the other on one connection, until none of what is between the two has room for more.
    let authorization = format!("Bearer {}", todo.token());
    let request = format!(
        "GET {}?limit=200 HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n\r\n",
        todo.tasks_path()
    );
    let began = Instant::now();
    let reader = Connection::to(stack.endpoints()).bytes(request.repeat(60).as_bytes());
    let lists = || {
        let mut lines = lines_of(stack.endpoints(), "task-api", todo.user());
        lines.retain(|line| line["message"] == "request" && line["method"] == "GET");
        lines
    };
    // The line comes after the answer is sent, or given up.
    let stuck = |line: &&Value| line["duration_ms"].as_u64() >= Some(9_000);
    until("the answer is given up", HELD, || {
        let lines = lists();
        match lines.iter().find(stuck) {
            Some(_) => Ok(()),
            None => Err(format!("{} answers sent", lines.len())),
        }
    });
    assert!(began.elapsed() > Duration::from_secs(9));
    drop(reader);
}
