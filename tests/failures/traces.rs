//! One trace from a request to all that follows from it, however late that is.

use e2e::events::records_of;
use e2e::flow::{successor, wait_until_settled};
use e2e::logs::lines_of;
use e2e::spans::Spans;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;

use crate::own_stack::{OwnStack, done};

/// The sidecar sends its spans every five seconds.
const SPANS: Limit = Limit::new("the sidecar's spans", 30);

fn daily(todo: &TestUser) -> Value {
    todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": "2020-01-01T00:00:00Z",
    }))
}

/// Requires that a completion is one trace: in the database, on Kafka, in the sidecar's spans and in the handlers' logs.
fn assert_one_trace(todo: &TestUser, spans: &Spans, task: &Value, trace: &str) {
    let next = successor(todo, task);
    wait_until_settled(todo, Limit::RECOVERY);
    let stored = todo.database().json(
        "SELECT traceparent FROM events WHERE task_id::text = $1 AND type = 'task.completed'",
        &[string_member(task, "id")],
    );
    let traceparent = stored.as_str().unwrap_or_default();
    assert_eq!(traceparent.split('-').nth(1), Some(trace), "{stored}");
    // Of the event itself, and of the one that the handler emitted in consequence.
    let records = records_of(todo.stack(), TASKS_TOPIC, todo.user());
    let events: Vec<Value> = records.iter().flat_map(|record| record.json()).collect();
    let of = |task: &Value, type_: &str| {
        let found = events
            .iter()
            .find(|event| event["subject"] == task["id"] && event["type"] == type_);
        found.cloned().unwrap_or_default()
    };
    let completed = of(task, "task.completed");
    assert_eq!(completed["traceparent"], stored, "{completed}");
    assert_eq!(completed["traceid"], stored, "{completed}");
    let created = of(&next, "task.created")["traceparent"].clone();
    assert_eq!(
        created.as_str().and_then(|value| value.split('-').nth(1)),
        Some(trace)
    );
    // Two deliveries of the completion, and one of what followed from it; alarms have spans too.
    until("spans", SPANS, || {
        let names = spans.of(trace);
        let count = |name: &str| names.iter().filter(|known| known.contains(name)).count();
        // An event that goes alone is published in its own trace.
        if count("publish") >= 1 && count("pubsub/tasks") >= 3 {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
    for component in ["recurrence-handler", "reminder-handler"] {
        let mut lines = lines_of(todo.stack(), component, string_member(&completed, "id"));
        lines.retain(|line| line["message"] == "delivery");
        assert!(!lines.is_empty(), "{component}");
        for line in lines {
            let traceparent = line["traceparent"].as_str().unwrap_or_default();
            assert_eq!(traceparent.split('-').nth(1), Some(trace), "{line}");
        }
    }
}

#[test]
fn a_trace_goes_from_the_request_through_kafka_to_the_handlers() {
    let spans = Spans::listen();
    let stack = OwnStack::with(|options| options.spans(spans.address()));
    let todo = TestUser::random_on(stack.endpoints());
    let (at_once, later) = (daily(&todo), daily(&todo));
    let trace = todo
        .complete(string_member(&at_once, "id"))
        .expect(200)
        .trace;
    assert_one_trace(&todo, &spans, &at_once, &trace);

    // Published by the relay, some time after the request and the instance that answered it are gone.
    done(stack.daprd().kill());
    let trace = todo.complete(string_member(&later, "id")).expect(200).trace;
    until("the request's instance gave up", Limit::SOON, || {
        let lines = lines_of(stack.endpoints(), "task-api", todo.user());
        let left = lines
            .iter()
            .any(|line| line["message"] == "publishing failed");
        if left {
            Ok(())
        } else {
            Err(format!("{lines:?}"))
        }
    });
    done(stack.daprd().start());
    assert_one_trace(&todo, &spans, &later, &trace);
}
