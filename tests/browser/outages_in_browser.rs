//! What the page shows when a part is down, and after.

use e2e::asyncapi::CheckedStack;
use e2e::shared_stack;
use e2e::test_user::TestUser;
use serde_json::{Value, json};
use stack::StackOptions;
use stack::service::Service;

use crate::story::{browser, tell_with};

fn part<'a>(stack: &'a CheckedStack, name: &str) -> &'a Service {
    let found = match name {
        "sidecar" => Ok(stack.daprd()),
        "broker" => stack.broker(),
        "database" => stack.postgres(),
        "app" => Ok(stack.app()),
        _ => panic!("no part is called {name:?}"),
    };
    match found {
        Ok(service) => service,
        Err(error) => panic!("{error:#}"),
    }
}

#[test]
fn the_page_says_what_is_missing_and_goes_on_when_sidecar_broker_and_database_are_killed_in_turn() {
    browser();
    // Apache Kafka is killed in `tests/failures`, where nobody waits for a page.
    let options = StackOptions::beside(shared_stack())
        .own_postgres()
        .small_broker()
        .broker_on_disk();
    let stack = match options.start() {
        Ok(stack) => CheckedStack::new(stack),
        Err(error) => panic!("{error:#}"),
    };
    let todo = TestUser::random_on(stack.endpoints());
    tell_with("outages", &todo, |what, of: &Value| {
        let service = part(&stack, of.as_str().unwrap_or_default());
        let done = match what {
            "kill" => service.kill(),
            "start" => service.start(),
            _ => panic!("nobody can do {what:?}"),
        };
        match done {
            Ok(()) => json!(null),
            Err(error) => panic!("{what} {of}: {error:#}"),
        }
    });
}
