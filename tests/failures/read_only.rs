//! The database answers, but takes no writes: a standby, a full disk, an operator's setting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::database::Database;
use e2e::flow::{dead_letters, ordered, publish, series, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::json;
use stack::endpoints::TASKS_TOPIC;
use uuid::Uuid;

use crate::own_stack::OwnStack;

/// How long the database takes no writes: longer than a handler keeps trying (8 s).
const OUTAGE: Duration = Duration::from_secs(12);

/// Sets what sessions, those that there are included, begin transactions with.
fn read_only(stack: &OwnStack, setting: &str) {
    let mut database = Database::of(stack.endpoints());
    for statement in [
        format!("ALTER SYSTEM SET default_transaction_read_only = {setting}"),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        if let Err(error) = database.client().batch_execute(&statement) {
            panic!("{error:?}");
        }
    }
}

#[test]
fn creates_get_503_and_no_delivery_becomes_a_dead_letter() {
    let stack = OwnStack::with(|options| options.own_postgres());
    let todo = TestUser::random_on(stack.endpoints());
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": "2020-01-01T08:00:00Z",
    }));
    todo.complete(string_member(&task, "id")).task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    let completed = todo.published_events().remove(1);

    // Deliveries without end, so that some begin before the sidecar notices. Their ids are new, for a known one may need
    // no write.
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            // If a check below fails, this ends with the outage.
            while !stop.load(Ordering::Relaxed) && began.elapsed() < OUTAGE {
                let mut event = completed.clone();
                event["id"] = json!(Uuid::now_v7());
                publish(&todo, TASKS_TOPIC, &event);
            }
        });
        read_only(&stack, "on");
        until("creates are refused", Limit::SOON, || {
            let answer = todo.create(json!({"title": "in vain"}));
            match answer.status {
                503 => Ok(answer.problem(503, "unavailable")),
                status => Err(format!("{status}")),
            }
        });
        for path in ["/readyz", "/readyz/deliveries"] {
            todo.call("GET", path).send().problem(503, "unavailable");
        }
        stop.store(true, Ordering::Relaxed);
    });
    // Not a wait for anything: the time itself is what the test is about.
    thread::sleep(OUTAGE.saturating_sub(began.elapsed()));
    read_only(&stack, "off");

    until("creates succeed again", Limit::RECOVERY, || {
        let answer = todo.create(json!({"title": "t"}));
        match answer.status {
            201 => Ok(()),
            status => Err(format!("{status}")),
        }
    });
    wait_until_settled(&todo, Limit::RECOVERY);
    ordered(&todo);
    assert_eq!(series(&todo, string_member(&task, "series_id")).len(), 2);
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
}
