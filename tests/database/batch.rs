//! Batches of operations: each operation does what it would do alone, and no batch waits for one that waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;
use serde_json::{Value, json};
use stack::workspace;
use uuid::Uuid;

use crate::hammer::{random, replaced};
use crate::scratch_database::{ScratchDatabase, execute, read};

/// For how long batches attack each other.
const TIME: Duration = Duration::from_secs(6);

/// A number from 0 on, below `most`.
fn below(most: usize) -> usize {
    (random() * most as f64) as usize
}

fn ask(client: &mut Client, statement: &str, arguments: &[&str]) -> Result<Value, postgres::Error> {
    let arguments: Vec<&(dyn postgres::types::ToSql + Sync)> = arguments
        .iter()
        .map(|argument| argument as &(dyn postgres::types::ToSql + Sync))
        .collect();
    let row = client.query_one(statement, &arguments)?;
    Ok(serde_json::from_str(&row.get::<_, String>(0)).unwrap_or_default())
}

fn run(client: &mut Client, user: &str, operations: &Value) -> Result<Value, postgres::Error> {
    let outbox = json!({"sidecar": "s", "token": Uuid::now_v7()}).to_string();
    let statement = "SELECT change_tasks($1, $2::text::jsonb, $3::text::jsonb)::text";
    ask(client, statement, &[user, &operations.to_string(), &outbox])
}

/// Runs an operation by the function of its own route.
fn run_alone(client: &mut Client, user: &str, operation: &Value) -> Result<Value, postgres::Error> {
    let name = operation["op"].as_str().unwrap_or_default();
    let versions = "versions => CASE WHEN jsonb_typeof(o -> 'versions') = 'array' THEN ARRAY(
        SELECT version::bigint FROM jsonb_array_elements_text(o -> 'versions') AS version
    ) END";
    let more = match name {
        "create" => {
            "fields => o -> 'fields', key => o ->> 'key', request_hash => decode(o ->> 'request_hash', 'hex')"
        }
        "update" => &format!("patch => o -> 'patch', {versions}"),
        _ => versions,
    };
    let statement = format!(
        "SELECT {name}_task(
            user_id => $1, task_id => (o ->> 'task_id')::uuid, {more},
            outbox => jsonb_build_object('event_id', o -> 'event_id', 'sidecar', 's')
        )::text
        FROM (SELECT $2::text::jsonb AS o) AS given"
    );
    ask(client, &statement, &[user, &operation.to_string()])
}

fn fields(title: &str) -> Value {
    json!({"title": title, "priority": "low", "tags": [], "timezone": "UTC", "is_recurring": false})
}

fn create(task: Uuid, title: &str, key: Option<String>) -> Value {
    json!({
        "op": "create", "task_id": task, "event_id": Uuid::now_v7(), "fields": fields(title), "key": key,
        "request_hash": title.bytes().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}

fn change(name: &str, task: Uuid) -> Value {
    let patch = match below(4) {
        0 => json!({}),
        1 => json!({"recurring_interval": "daily"}),
        2 => json!({"due_date": "2030-01-01T00:00:00Z", "timezone": "Nowhere/Such"}),
        _ => json!({"title": format!("title {}", below(3)), "due_date": "2030-01-01T00:00:00Z"}),
    };
    let versions = if below(3) == 0 {
        json!([1 + below(4)])
    } else {
        Value::Null
    };
    json!({"op": name, "task_id": task, "event_id": Uuid::now_v7(), "patch": patch, "versions": versions})
}

/// Operations on a few tasks, as one user has them and as another; `tasks` are the ids of both.
fn twice(tasks: &mut Vec<[Uuid; 2]>, number: usize) -> [Vec<Value>; 2] {
    let mut both = [Vec::new(), Vec::new()];
    for _ in 0..number {
        let name = ["create", "update", "update", "complete", "reopen", "delete"][below(6)];
        if name == "create" {
            let ids = [Uuid::now_v7(), Uuid::now_v7()];
            tasks.push(ids);
            let key = (below(2) == 0).then(|| format!("key {}", below(12)));
            let title = format!("title {}", below(3));
            for (operations, id) in both.iter_mut().zip(ids) {
                operations.push(create(id, &title, key.clone()));
            }
        } else {
            // The last ones are there more often, those of this batch included.
            let place = tasks.len() - 1 - below(tasks.len().min(6));
            let operation = change(name, tasks[place][0]);
            for (operations, id) in both.iter_mut().zip(tasks[place]) {
                let mut operation = operation.clone();
                operation["task_id"] = json!(id);
                operation["event_id"] = json!(Uuid::now_v7());
                operations.push(operation);
            }
        }
    }
    both
}

/// The parts of an answer that do not depend on user and time: without instants, and with a task's number instead of
/// its id.
fn comparable(value: &Value, numbers: &BTreeMap<String, usize>) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| {
                ![
                    "user_id",
                    "created_at",
                    "updated_at",
                    "completed_at",
                    "timestamp",
                ]
                .contains(&name.as_str())
            })
            .map(|(name, value)| (name.clone(), comparable(value, numbers)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| comparable(item, numbers)).collect(),
        Value::String(text) => numbers
            .get(text)
            .map_or_else(|| value.clone(), |number| json!(number)),
        other => other.clone(),
    }
}

/// Everything that is stored of a user and must not depend on how it came about.
fn stored(client: &mut Client, user: &str) -> Value {
    let statement = "SELECT jsonb_build_object(
        'tasks', (SELECT jsonb_agg(task_json(task) ORDER BY task.id) FROM tasks AS task WHERE task.user_id = $1),
        'events', (
            SELECT jsonb_agg(jsonb_build_array(event.sequence, event.type, event.task_id, event.data) ORDER BY sequence)
            FROM events AS event WHERE event.user_id = $1
        ),
        'keys', (
            SELECT jsonb_agg(jsonb_build_array(taken.key, taken.request_hash::text, event.sequence) ORDER BY taken.key)
            FROM idempotency_keys AS taken LEFT JOIN events AS event ON event.id = taken.event_id
            WHERE taken.user_id = $1
        ),
        'lane', (SELECT jsonb_build_array(lane.head, lane.tasks) FROM lanes AS lane WHERE lane.user_id = $1),
        'queued', (SELECT count(*) FROM publish_queue AS turn WHERE turn.user_id = $1)
    )::text";
    match ask(client, statement, &[user]) {
        Ok(stored) => stored,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn each_operation_of_a_batch_does_what_it_does_alone() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    // A limit that matters.
    execute(
        &mut client,
        "CREATE OR REPLACE FUNCTION most_tasks() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 5",
    );
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for story in 0..60 {
        let (batching, alone) = (format!("batch {story}"), format!("alone {story}"));
        let mut tasks = vec![[Uuid::now_v7(), Uuid::now_v7()]];
        for _ in 0..4 {
            let [together, one_by_one] = twice(&mut tasks, 1 + below(12));
            let answer = match run(&mut client, &batching, &json!(together)) {
                Ok(answer) => answer,
                Err(error) => panic!("{error:?}: {together:?}"),
            };
            let answers = answer["answers"].as_array().cloned().unwrap_or_default();
            assert_eq!(answers.len(), together.len(), "{answer}");
            let numbers = |side: usize| -> BTreeMap<String, usize> {
                let numbered = tasks.iter().enumerate();
                numbered
                    .map(|(number, ids)| (ids[side].to_string(), number))
                    .collect()
            };
            for ((answer, operation), of_batch) in answers.iter().zip(&one_by_one).zip(&together) {
                let expected = match run_alone(&mut client, &alone, operation) {
                    Ok(expected) => expected,
                    Err(error) => panic!("{error:?}: {operation}"),
                };
                let outcome = answer["outcome"].as_str().unwrap_or_default().to_owned();
                *outcomes.entry(outcome).or_default() += 1;
                let (answer, expected) = (
                    comparable(answer, &numbers(0)),
                    comparable(&expected, &numbers(1)),
                );
                assert_eq!(answer, expected, "{of_batch}");
            }
            let has_changed = answers.iter().any(|answer| answer["outcome"] == "changed");
            assert_eq!(answer["emitted"].is_object(), has_changed, "{answer}");
            let (of_batch, of_alone) =
                (stored(&mut client, &batching), stored(&mut client, &alone));
            assert_eq!(
                comparable(&of_batch, &numbers(0)),
                comparable(&of_alone, &numbers(1)),
                "{together:?}"
            );
        }
    }
    let all = [
        "changed",
        "key_reused",
        "not_found",
        "precondition_failed",
        "recurrence_mismatch",
        "repeated",
        "too_many_tasks",
        "unchanged",
        "unknown_time_zone",
    ];
    assert!(outcomes.keys().eq(all.iter()), "{outcomes:?}");
}

/// Runs batches and single requests that change the same tasks and use the same keys, each in its own order. Returns
/// how many batches ended, and how many were victims of a deadlock.
fn attack(text: &str) -> (usize, usize) {
    let database = ScratchDatabase::create();
    execute(&mut database.connect(), text);
    let tasks: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();
    for task in &tasks {
        let created = run_alone(&mut database.connect(), "u", &create(*task, "t", None));
        assert!(created.is_ok(), "{created:?}");
    }
    let (done, deadlocks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for number in 0..6 {
            let (database, tasks, done, deadlocks) = (&database, &tasks, &done, &deadlocks);
            scope.spawn(move || {
                let mut client = database.connect();
                while began.elapsed() < TIME {
                    // New to all of them at the same time.
                    let round = began.elapsed().as_millis() / 50;
                    let operation = || match below(2) {
                        0 => create(Uuid::now_v7(), "t", Some(format!("{round} {}", below(6)))),
                        _ => change(["update", "complete", "reopen"][below(3)], tasks[below(8)]),
                    };
                    let answer = if number == 0 {
                        run_alone(&mut client, "u", &operation())
                    } else {
                        let operations: Vec<Value> = (0..6).map(|_| operation()).collect();
                        run(&mut client, "u", &json!(operations))
                    };
                    match answer {
                        Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                        Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {
                            deadlocks.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(error) => panic!("{error:?}"),
                    };
                }
            });
        }
    });
    let numbered = database.number(
        "SELECT count(*) FROM lanes WHERE user_id = 'u' AND head = (SELECT count(*) FROM events WHERE user_id = 'u')",
    );
    assert_eq!(numbered, 1, "numbers without events");
    (done.into_inner(), deadlocks.into_inner())
}

/// With a pause after each operation.
fn slowed_batch() -> String {
    let text = read(&workspace::root().join("migrations/functions/batch.sql"));
    let end = "        answers := array_append(answers, answer::text);";
    replaced(
        &text,
        end,
        &format!("PERFORM pg_sleep(random() * 0.003);\n{end}"),
    )
}

#[test]
fn batches_in_opposite_orders_do_not_wait_for_each_other() {
    let (done, deadlocks) = attack(&slowed_batch());
    assert!(done > 100, "only {done}");
    assert_eq!(deadlocks, 0, "in {done}");
}

#[test]
fn batches_that_do_not_lock_tasks_first_deadlock() {
    let first = "    PERFORM FROM tasks AS task\n    WHERE ";
    let (done, deadlocks) = attack(&replaced(
        &slowed_batch(),
        first,
        &format!("{first}false AND "),
    ));
    assert!(deadlocks > 0, "none in {done}");
}

#[test]
fn batches_that_do_not_claim_keys_first_deadlock() {
    let claim = "FROM wanted ORDER BY wanted.key";
    let without = claim.replace(" ORDER", " WHERE false ORDER");
    let (done, deadlocks) = attack(&replaced(&slowed_batch(), claim, &without));
    assert!(deadlocks > 0, "none in {done}");
}
