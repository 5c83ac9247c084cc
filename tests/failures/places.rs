//! Slow clients. The host has a limited number of places for requests, and no time limit for them.
//!
//! A client that does not read its answer holds no place: Spin takes a whole megabyte from the instance at once, and
//! the instance ends.

use e2e::raw_http::Connection;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};

use crate::own_stack::OwnStack;

/// More than the REST API has places: each takes one of the host's 1000.
const CLIENTS: usize = 2500;

/// A body has 10 s.
const HELD: Limit = Limit::new("places are free again", 20);

#[test]
#[ignore = "holds 2500 connections, more files than many machines let a process open"]
fn bodies_that_do_not_come_hold_their_places_no_longer_than_ten_seconds() {
    let stack = OwnStack::start();
    let slow = TestUser::random_on(stack.endpoints());
    let todo = TestUser::random_on(stack.endpoints());
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
    // An answer of the host itself is not an answer of the API.
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
