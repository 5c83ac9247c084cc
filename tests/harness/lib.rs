//! The harness of the end-to-end tests: one user of a running service, and everything that can be seen of what the
//! service did for that user: answers, events, rows and log lines.
//!
//! A test begins with [`test_user::TestUser::random`], a user of its own on the stack that all tests share, so that tests run
//! in parallel and see nothing of each other. Nothing waits a fixed time: [`wait::until`] waits for a condition.
//!
//! Everything here panics when the service does not do what the test expects, with what was seen instead. That goes for
//! every answer of the API, which must be as [`openapi`] says, and every event, which must be as [`asyncapi`] says.

#![forbid(unsafe_code)]

pub mod answer;
pub mod asyncapi;
pub mod changes;
pub mod database;
pub mod dead_letters;
pub mod events;
pub mod flow;
pub mod gauges;
pub mod lanes;
pub mod load;
pub mod logs;
pub mod openapi;
pub mod operations;
pub mod raw_http;
pub mod replica;
pub mod spans;
pub mod test_user;
pub mod tokens;
pub mod wait;

use std::sync::OnceLock;

use stack::endpoints::Endpoints;

/// The stack that all tests share.
///
/// # Panics
///
/// When the tests were not started by `cargo xtask test`, which starts it.
pub fn shared_stack() -> &'static Endpoints {
    static SHARED: OnceLock<Endpoints> = OnceLock::new();
    SHARED.get_or_init(|| match Endpoints::from_env() {
        Ok(endpoints) => endpoints,
        Err(error) => panic!("{error:#}"),
    })
}
