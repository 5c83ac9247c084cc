//! What opens and closes the breakers of a sidecar: that of publishing, which is the publisher's row, and that of the Jobs
//! API.

use postgres::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::scratch_database::{ScratchDatabase, execute};

/// What a function answers.
fn ask(client: &mut Client, call: &str, arguments: &[&str]) -> Value {
    let statement = format!("SELECT to_jsonb({call})::text");
    let arguments: Vec<&(dyn postgres::types::ToSql + Sync)> = arguments
        .iter()
        .map(|argument| argument as &(dyn postgres::types::ToSql + Sync))
        .collect();
    match client.query_one(&statement, &arguments) {
        Ok(row) => serde_json::from_str(&row.get::<_, String>(0)).unwrap_or_default(),
        Err(error) => panic!("{error:?}: {statement}"),
    }
}

/// A sidecar whose breaker is open and may be probed, and three users with an event each.
fn after_failures() -> (ScratchDatabase, Client) {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    execute(
        &mut client,
        "SELECT append_event(
            jsonb_build_object('event_id', gen_random_uuid()), user_id, gen_random_uuid(), 'task.created', 'tasks', '{}'
        ) FROM unnest(ARRAY['a', 'b', 'c']) AS user_id;
        INSERT INTO publishers (sidecar, failures, retry_at) VALUES ('s', 3, now() - interval '1 second')",
    );
    (database, client)
}

const FAILURES: &str = "(SELECT failures FROM publishers WHERE sidecar = 's')";

fn take_over(client: &mut Client) -> String {
    let token = Uuid::now_v7().to_string();
    let call = "become_publisher('s', $1::text::uuid)";
    assert_eq!(ask(client, call, &[&token]), true);
    token
}

fn turn(client: &mut Client, token: &str, results: Value) -> Value {
    let call = "publish_turn('s', $1::text::uuid, $2::text::jsonb, 100)";
    ask(client, call, &[token, &results.to_string()])
}

/// The only event of a turn, with what became of it.
fn only(turn: &Value, outcome: &str) -> Value {
    let events = turn["events"].as_array().cloned().unwrap_or_default();
    assert_eq!(events.len(), 1, "{turn}");
    json!([{"user_id": events[0]["user_id"], "sequence": events[0]["sequence"], "outcome": outcome}])
}

#[test]
fn only_a_published_event_closes_the_breaker_of_publishing() {
    let (_database, mut client) = after_failures();
    let token = take_over(&mut client);
    // One lane is the probe, though three wait.
    let first = turn(&mut client, &token, json!([]));
    let second = turn(&mut client, &token, only(&first, "failed"));
    assert_eq!(ask(&mut client, FAILURES, &[]), 3);
    // A rejection does not show that the broker is back either.
    let third = turn(&mut client, &token, only(&second, "rejected"));
    assert_eq!(ask(&mut client, FAILURES, &[]), 3);
    let rest = turn(&mut client, &token, only(&third, "published"));
    assert_eq!(ask(&mut client, FAILURES, &[]), 0);
    assert_eq!(rest["events"], json!([]), "{rest}");
}

#[test]
fn a_probe_that_finds_no_lane_leaves_the_breaker_open() {
    let (_database, mut client) = after_failures();
    // Another replica has them all.
    execute(
        &mut client,
        "UPDATE publish_queue SET holder = gen_random_uuid(), held_until = now() + interval '1 hour'",
    );
    let token = take_over(&mut client);
    let nothing = turn(&mut client, &token, json!([]));
    assert_eq!(nothing, json!({"publisher": false, "events": []}));
    assert_eq!(ask(&mut client, FAILURES, &[]), 3);
    // An empty queue does not show that the broker is back either.
    execute(&mut client, "DELETE FROM publish_queue");
    let token = take_over(&mut client);
    turn(&mut client, &token, json!([]));
    assert_eq!(ask(&mut client, FAILURES, &[]), 3);
}

#[test]
fn only_a_probe_closes_the_breaker_of_jobs() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    let mut may = |step: &str| {
        if !step.is_empty() {
            execute(&mut client, step);
        }
        ask(&mut client, "may_call_jobs('s')", &[])
    };
    assert_eq!(may(""), "call");
    assert_eq!(may("SELECT jobs_failed('s', false)"), "wait");
    let time_passes = "UPDATE jobs_breakers SET retry_at = now()";
    assert_eq!(may(time_passes), "probe");
    // Nobody else may probe, and permission to probe alone does not close the breaker.
    assert_eq!(may(""), "wait");
    // The prober crashed without a result.
    assert_eq!(may(time_passes), "probe");
    assert_eq!(may("SELECT jobs_failed('s', true)"), "wait");
    assert_eq!(may(time_passes), "probe");
    assert_eq!(may("SELECT jobs_reached('s')"), "call");
}
