//! Postgres is away for a while under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::flow::{dead_letters, ordered, wait_until_settled};
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Value, json};
use stack::endpoints::DEAD_LETTERS_TOPIC;
use stack::kafka;

use crate::support::{done, id, in_days, short_lead_options, started};

/// For how long there is load before the outage, and after it.
const LOAD: Duration = Duration::from_secs(4);

/// For how long Postgres is away.
const OUTAGE: Duration = Duration::from_secs(20);

/// What follows after an outage: back-off, a relay run for each lane.
const AFTERWARDS: Limit = Limit::new("catching up", 90);

/// What the service has confirmed to a user.
#[derive(Default)]
struct Done {
    created: Vec<Value>,
    completed: Vec<Value>,
    failed: usize,
}

/// Creates daily tasks and completes every other one, until told to stop.
fn work(todo: &TestUser, stop: &AtomicBool) -> Done {
    let mut done = Done::default();
    while !stop.load(Ordering::Relaxed) {
        let body = json!({
            "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": in_days(3),
        });
        let call = todo.call("POST", todo.tasks_path()).json(&body);
        match call.try_send() {
            Ok(answer) if answer.status == 201 => done.created.push(answer.json()),
            Ok(answer) if answer.status == 503 => {
                done.failed += 1;
                // A client that is refused waits a moment.
                pass(Duration::from_millis(20));
            }
            other => panic!("{other:?}"),
        }
        let Some(task) = done.created.last().cloned() else {
            continue;
        };
        if done.created.len() % 2 == 0 && done.completed.last() != Some(&task) {
            let target = format!("{}/complete", todo.task_path(id(&task)));
            match todo.call("POST", target).try_send() {
                Ok(answer) if answer.status == 200 => done.completed.push(task),
                Ok(answer) if answer.status == 503 => done.failed += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    done
}

/// Lets time pass. Not a wait for anything: the time itself is what the test is about.
fn pass(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        thread::park_timeout(until.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn twenty_seconds_without_postgres_lose_nothing_and_make_no_dead_letter() {
    let stack = started(short_lead_options().own_postgres());
    let users: Vec<TestUser> = (0..4)
        .map(|_| TestUser::random_on(stack.endpoints()))
        .collect();
    let stop = AtomicBool::new(false);
    let all: Vec<Done> = thread::scope(|scope| {
        let stop = &stop;
        let working: Vec<_> = users
            .iter()
            .map(|todo| scope.spawn(move || work(todo, stop)))
            .collect();
        pass(LOAD);
        let stopped = stack.postgres().and_then(|postgres| postgres.stop());
        pass(OUTAGE);
        let started = stack.postgres().and_then(|postgres| postgres.start());
        if started.is_ok() {
            pass(LOAD);
        }
        stop.store(true, Ordering::Relaxed);
        let all = working
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect();
        done(stopped);
        done(started);
        all
    });
    done(stack.wait_ready());
    let failed: usize = all.iter().map(|done| done.failed).sum();
    assert!(failed > 0, "there was no outage");

    for (todo, told) in users.iter().zip(&all) {
        let events = wait_until_settled(todo, AFTERWARDS);
        ordered(todo);
        assert!(told.created.len() > 10, "{}", told.created.len());
        for task in &told.created {
            // What was answered with success is there, and its event.
            todo.get(id(task)).task(200);
            let announced = events
                .iter()
                .filter(|event| event["subject"] == task["id"] && event["type"] == "task.created");
            assert_eq!(announced.count(), 1, "{task}");
        }
        let followed = followed(todo);
        for task in &told.completed {
            // A task that was completed before its reminder was handled needs none.
            let [cancelled, none] = [
                json!({"tasks": 2, "reminders": ["cancelled", "scheduled"]}),
                json!({"tasks": 2, "reminders": ["scheduled", null]}),
            ];
            let followed = &followed[string_member(task, "series_id")];
            assert!(
                *followed == cancelled || *followed == none,
                "{task}: {followed}"
            );
        }
    }
    assert_eq!(dead_letters(stack.endpoints()), json!([]));
    let ends = kafka::end_offsets(&stack.endpoints().kafka, DEAD_LETTERS_TOPIC);
    assert!(
        ends.as_ref()
            .is_ok_and(|ends| ends.values().all(|end| *end == 0)),
        "{ends:?}"
    );
}

/// Of each series of a user: how many tasks, and the reminders of all of them.
fn followed(todo: &TestUser) -> Value {
    todo.database().json(
        "SELECT jsonb_object_agg(series_id, followed) FROM (
            SELECT series_id, jsonb_build_object(
                'tasks', count(*), 'reminders', jsonb_agg(reminder.status ORDER BY reminder.status)
            ) AS followed
            FROM tasks AS task LEFT JOIN reminders AS reminder ON reminder.task_id = task.id
            WHERE task.user_id = $1
            GROUP BY series_id
        ) AS series",
        &[todo.user()],
    )
}
