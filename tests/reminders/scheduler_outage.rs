//! The scheduler is away, or has lost everything; the sidecar is.

use std::time::Instant;

use e2e::events::types;
use e2e::flow::{ordered, wait_until_settled};
use e2e::logs;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::Value;

use crate::support::{
    LEAD, RING, SWEEP, after, done, due, in_seconds, micros, notifications, notified, now, settled,
    short_lead_options, started,
};

/// The state of a breaker.
fn failures(todo: &TestUser, dependency: &str) -> Value {
    let statement = match dependency {
        "jobs" => "SELECT failures FROM jobs_breakers",
        _ => "SELECT failures FROM publishers",
    };
    todo.database().json(statement, &[])
}

#[test]
fn reminders_come_without_the_scheduler_which_is_used_again_when_it_is_back() {
    let stack = started(short_lead_options());
    let todo = TestUser::random_on(stack.endpoints());
    done(stack.scheduler().stop());

    // The handler is not held up: what it does and emits goes on, only the alarms are left to the sweep.
    let began = Instant::now();
    let due_date = in_seconds(LEAD + 12);
    let tasks: Vec<Value> = (0..6).map(|_| due(&todo, &due_date)).collect();
    let later = due(&todo, &in_seconds(LEAD + 3_000));
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(events.len(), 14, "{events:#?}");
    let lines = logs::lines_of(stack.endpoints(), "reminder-handler", todo.user());
    for line in lines.iter().filter(|line| line["message"] == "delivery") {
        assert_eq!(line["outcome"], "done", "{line}");
        let took = line["duration_ms"].as_i64().unwrap_or(i64::MAX);
        assert!(took < 3_000, "{line}");
    }
    until("the breaker opens", Limit::DELIVERY, || {
        match failures(&todo, "jobs").as_i64() {
            Some(count) if count > 0 => Ok(()),
            other => Err(format!("{other:?} after {:?}", began.elapsed())),
        }
    });
    // Publishing has a breaker of its own.
    assert_eq!(failures(&todo, "pubsub").as_i64().unwrap_or(0), 0);

    for task in &tasks {
        let notification = notified(&todo, task, SWEEP);
        let late = micros(string_member(&notification, "created_at"))
            - micros(string_member(&notification, "remind_at"));
        assert!(late < 60_000_000, "{notification}");
    }
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let swept = events
        .iter()
        .filter(|event| event["type"] == "reminder.triggered");
    assert_eq!(swept.count(), 6);

    done(stack.scheduler().start());
    // The sweep sets what could not be set, and closes the breaker.
    settled(&todo, &later, "scheduled", Limit::RECOVERY);
    until("the breaker closes", Limit::RECOVERY, || {
        match failures(&todo, "jobs") {
            count if count == 0 => Ok(()),
            count => Err(count),
        }
    });
    let next = due(&todo, &in_seconds(LEAD + 4));
    notified(&todo, &next, RING);
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let last = events.last().cloned().unwrap_or_default();
    assert_eq!(last["type"], "reminder.triggered");
    assert_eq!(notifications(&todo).len(), 7);
    ordered(&todo);
}

#[test]
fn a_reminder_whose_delivery_paused_past_its_moment_comes_at_once() {
    // Due a minute after its moment, so that it is not yet due when delivery goes on.
    let stack = started(short_lead_options().variable("reminder_lead_seconds", "60"));
    let todo = TestUser::random_on(stack.endpoints());
    done(stack.daprd().stop());
    let due_date = in_seconds(60 + 2);
    let task = due(&todo, &due_date);
    let moment = after(&due_date, -60);
    until("its moment is past", Limit::SOON, || {
        let left = micros(&moment) - now();
        if left < 0 { Ok(()) } else { Err(left) }
    });
    done(stack.daprd().start());
    let notification = notified(&todo, &task, RING);
    assert_eq!(notification["remind_at"], moment.as_str());
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(
        types(&events),
        ["task.created", "reminder.scheduled", "reminder.triggered"]
    );
    // By its alarm or by the sweep, whichever is first; the sweep alone comes every 5 s.
    let waited =
        micros(string_member(&events[2], "time")) - micros(string_member(&events[1], "time"));
    assert!(waited < 10_000_000, "{events:#?}");
}
