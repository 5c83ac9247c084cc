//! What monitoring shows while something is wrong, and when it is well again.

use std::process::Command;
use std::time::Duration;

use e2e::database::Database;
use e2e::flow::publish;
use e2e::gauges::{self, Gauges};
use e2e::lanes;
use e2e::operations;
use e2e::shared_stack;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use operator::dead_letters;
use serde_json::json;
use stack::endpoints::{Endpoints, TASKS_TOPIC};
use stack::{process, workspace};
use uuid::Uuid;

use crate::own_stack::{OwnStack, done};

/// How long before its due date a task is reminded of, in seconds.
const LEAD: i64 = 3;

/// A gauge of the service as a whole.
fn value(gauges: &Gauges, name: &str) -> f64 {
    let name = format!("cnpg_todo_events_{name}");
    match gauges.get(&name) {
        Some(value) => *value,
        None => panic!("no {name} in {gauges:#?}"),
    }
}

/// Waits until gauges are within these bounds, both included.
fn shows(stack: &Endpoints, what: &str, limit: Limit, expected: &[(&str, f64, f64)]) -> Gauges {
    let mut database = Database::of(stack);
    until(what, limit, || {
        let gauges = gauges::read(&mut database);
        let is_within = |(name, least, most): &(&str, f64, f64)| {
            let value = value(&gauges, name);
            *least <= value && value <= *most
        };
        if expected.iter().all(is_within) {
            Ok(gauges)
        } else {
            Err(format!("{gauges:#?}"))
        }
    })
}

/// All gauges that alerts watch.
const WELL: [(&str, f64, f64); 8] = [
    ("unpublished_events", 0.0, 0.0),
    ("oldest_unpublished_seconds", 0.0, 0.0),
    ("blocked_lanes", 0.0, 0.0),
    ("overdue_reminders", 0.0, 0.0),
    ("oldest_overdue_seconds", 0.0, 0.0),
    ("open_dead_letters", 0.0, 0.0),
    ("breakers_open{dependency=\"pubsub\"}", 0.0, 0.0),
    ("breakers_open{dependency=\"jobs\"}", 0.0, 0.0),
];

#[test]
fn each_gauge_changes_when_its_part_fails_and_recovers() {
    let stack =
        OwnStack::with(|options| options.variable("reminder_lead_seconds", &LEAD.to_string()));
    let endpoints = stack.endpoints();
    let todo = TestUser::random_on(endpoints);
    // The first delivery of a new stack may take longer than the second reminder has.
    scheduled(&todo, 3600);
    scheduled(&todo, 6);
    todo.settle(Limit::DELIVERY);
    let before = shows(endpoints, "all is well", Limit::SOON, &WELL);
    let inserted = "table_inserted_total{table=\"events\"}";

    done(stack.daprd().kill());
    todo.created("left behind");
    todo.created("and another");
    let opened = shows(
        endpoints,
        "an outage of the sidecar",
        Limit::RECOVERY,
        &[
            ("unpublished_events", 2.0, 2.0),
            ("oldest_unpublished_seconds", 2.0, 60.0),
            ("breakers_open{dependency=\"pubsub\"}", 1.0, 1.0),
            ("breakers_open{dependency=\"jobs\"}", 0.0, 0.0),
            ("overdue_reminders", 1.0, 1.0),
            ("oldest_overdue_seconds", 1.0, 60.0),
            ("blocked_lanes", 0.0, 0.0),
            (inserted, value(&before, inserted) + 2.0, f64::MAX),
        ],
    );
    let older = value(&opened, "oldest_unpublished_seconds") + 1.0;
    shows(
        endpoints,
        "the event ages",
        Limit::SOON,
        &[("oldest_unpublished_seconds", older, 120.0)],
    );
    lanes::change(
        &todo,
        "UPDATE publish_queue SET blocked = true WHERE user_id = $1",
    );
    let blocked = [("blocked_lanes", 1.0, 1.0)];
    shows(endpoints, "a blocked lane", Limit::SOON, &blocked);
    lanes::unblock(&todo);
    // The breaker of a pod that is gone does not count for the others.
    lanes::change(
        &todo,
        "INSERT INTO jobs_breakers (sidecar, failures, retry_at)
        VALUES ('gone-with-' || $1, 3, now() - interval '1 hour')",
    );
    done(stack.daprd().start());
    shows(endpoints, "all is well again", Limit::RECOVERY, &WELL);

    dead_letter_comes_and_goes(&todo);
}

/// Creates a task whose reminder is due this many seconds from now, and waits until the reminder is scheduled.
fn scheduled(todo: &TestUser, seconds: i64) {
    let mut database = todo.database();
    let due_date = database.json(
        "rfc3339(now() + $1::text::interval)",
        &[&format!("{} s", LEAD + seconds)],
    );
    let task = todo.created_with(json!({"title": "t", "due_date": due_date}));
    let status = "SELECT status FROM reminders WHERE task_id::text = $1";
    until("a reminder", Limit::DELIVERY, || {
        let status = database.json(status, &[string_member(&task, "id")]);
        if status == "scheduled" {
            Ok(())
        } else {
            Err(status)
        }
    });
}

fn dead_letter_comes_and_goes(todo: &TestUser) {
    let stack = todo.stack();
    let mut event = todo.stored_events().remove(0);
    event["id"] = json!(Uuid::now_v7());
    event["type"] = json!("task.deleted");
    event["data"]["task_id"] = json!("none");
    publish(todo, TASKS_TOPIC, &event);
    let arrived = [
        ("open_dead_letters", 1.0, 1.0),
        ("table_inserted_total{table=\"dead_letters\"}", 1.0, 1.0),
    ];
    shows(stack, "a dead letter", Limit::DELIVERY, &arrived);
    let deployment = operations::deployment(stack);
    let letters = dead_letters::list(&deployment, false, 10).unwrap_or_default();
    for letter in letters {
        done(dead_letters::discard(&deployment, &letter.id).map(drop));
    }
    let discarded = [("open_dead_letters", 0.0, 0.0)];
    shows(stack, "it is discarded", Limit::SOON, &discarded);
}

/// As on Kubernetes: the owner of the database is no superuser, and owns nothing else.
#[test]
fn the_migrations_need_only_ownership_of_the_database() {
    let stack = shared_stack();
    let name = format!("owner_{}", Uuid::now_v7().simple());
    let mut server = Database::of(stack);
    let made = server
        .client()
        .batch_execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{name}'"))
        .and_then(|()| {
            // Not in one go: that would be a transaction.
            server
                .client()
                .batch_execute(&format!("CREATE DATABASE {name} OWNER {name}"))
        });
    assert!(made.is_ok(), "{made:?}");
    let at = stack.database_url.split('@').nth(1).unwrap_or_default();
    let authority = at.split('/').next().unwrap_or_default();
    for direction in [["up"].as_slice(), &["down", "-all"], &["up"]] {
        let mut command = Command::new(&stack.programs.migrate);
        command
            .arg("-path")
            .arg(workspace::root().join("migrations"))
            .arg("-database")
            .arg(format!(
                "pgx5://{name}:{name}@{authority}/{name}?sslmode=disable"
            ))
            .args(direction);
        let output = match process::capture(command, Duration::from_secs(60)) {
            Ok(output) => output,
            Err(error) => panic!("{error:#}"),
        };
        assert!(output.status.success(), "{direction:?}: {output:?}");
    }
    let mut own = stack.clone();
    own.database_url = match postgres_url(&stack.database_url, &name) {
        Some(url) => url,
        None => panic!("no address"),
    };
    // As the superuser, who may become pg_monitor.
    let gauges = gauges::read(&mut Database::of(&own));
    assert!(gauges.len() > 10, "{gauges:?}");
    for statement in [format!("DROP DATABASE {name}"), format!("DROP ROLE {name}")] {
        let dropped = server.client().batch_execute(&statement);
        assert!(dropped.is_ok(), "{dropped:?}");
    }
}

/// The same address with another database.
fn postgres_url(url: &str, database: &str) -> Option<String> {
    let (rest, _) = url.rsplit_once('/')?;
    Some(format!("{rest}/{database}?sslmode=disable"))
}
