//! What an operator can do about lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::scratch_database::{ScratchDatabase, execute};

fn told(client: &mut Client, expression: &str) -> Value {
    match client.query_one(&format!("SELECT to_jsonb({expression})::text"), &[]) {
        Ok(row) => {
            let told: Option<String> = row.get(0);
            serde_json::from_str(told.as_deref().unwrap_or("null")).unwrap_or_default()
        }
        Err(error) => panic!("{error:?}: {expression}"),
    }
}

/// Appends this many events of a user, which nobody publishes.
fn append(client: &mut Client, user: &str, count: u32) {
    for _ in 0..count {
        execute(
            client,
            &format!(
                "SELECT append_event(
                    jsonb_build_object('event_id', gen_random_uuid()),
                    '{user}', gen_random_uuid(), 'task.created', 'tasks', '{{}}'
                )"
            ),
        );
    }
}

fn state(client: &mut Client) -> Value {
    told(
        client,
        "jsonb_build_array(
            (SELECT jsonb_agg(to_jsonb(lane) ORDER BY user_id) FROM lanes AS lane),
            (SELECT jsonb_agg(to_jsonb(turn) ORDER BY user_id) FROM publish_queue AS turn),
            (SELECT jsonb_agg(to_jsonb(letter) ORDER BY id) FROM dead_letters AS letter)
        )",
    )
}

#[test]
fn only_what_blocks_a_lane_is_skipped() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    append(&mut client, "u", 3);
    for (blocked, held, number, outcome) in [
        ("false", "NULL", 1, json!({"outcome": "not_blocked"})),
        ("true", "NULL", 2, json!({"outcome": "not_next", "next": 1})),
        ("true", "NULL", 0, json!({"outcome": "not_next", "next": 1})),
        (
            "true",
            "now() + interval '5 seconds'",
            1,
            json!({"outcome": "held"}),
        ),
    ] {
        execute(
            &mut client,
            &format!(
                "UPDATE publish_queue SET
                    blocked = {blocked}, held_until = {held},
                    holder = CASE WHEN {held} IS NOT NULL THEN gen_random_uuid() END"
            ),
        );
        let before = state(&mut client);
        let call = format!("skip_event('u', {number})");
        assert_eq!(told(&mut client, &call), outcome, "{call}");
        assert_eq!(state(&mut client), before, "{call}");
    }
    assert_eq!(
        told(&mut client, "skip_event('nobody', 1)"),
        json!({"outcome": "not_next"})
    );
}

#[test]
fn a_skipped_event_is_a_dead_letter_and_the_lane_goes_on() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    append(&mut client, "u", 3);
    // The second is missing, so there is nothing of it to keep.
    execute(&mut client, "DELETE FROM events WHERE sequence = 2");
    for (number, letters) in [(1, 1), (2, 1), (3, 2)] {
        execute(
            &mut client,
            "UPDATE publish_queue SET blocked = true, attempts = 4, turn_at = now() + interval '5 minutes'",
        );
        let skipped = told(&mut client, &format!("skip_event('u', {number})"));
        assert_eq!(skipped["outcome"], "skipped", "{skipped}");
        assert_eq!(skipped["left"], 3 - number, "{skipped}");
        assert_eq!(skipped["letter"].is_null(), number == 2, "{skipped}");
        let kept = told(
            &mut client,
            "(SELECT count(*) FROM dead_letters WHERE status = 'open')",
        );
        assert_eq!(kept, letters);
        let turn = told(
            &mut client,
            "(SELECT jsonb_build_array(blocked, attempts, turn_at <= clock_timestamp()) FROM publish_queue)",
        );
        let expected = if number < 3 {
            json!([false, 0, true])
        } else {
            Value::Null
        };
        assert_eq!(turn, expected, "after {number}");
    }
    let lane = told(
        &mut client,
        "(SELECT jsonb_build_array(head, published) FROM lanes)",
    );
    assert_eq!(lane, json!([3, 3]));
    assert_eq!(told(&mut client, "(SELECT count(*) FROM events)"), 2);
    // The payload is what would have been sent.
    let same =
        "(SELECT bool_and(convert_from(payload, 'UTF8')::jsonb = outbound_event(event) -> 'event')
        FROM dead_letters AS letter JOIN events AS event ON event.id::text = letter.event_id)";
    assert_eq!(told(&mut client, same), true);
}

#[test]
fn a_lane_is_retried_unless_it_is_held_or_due_already() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    append(&mut client, "u", 1);
    let due = "(SELECT turn_at <= clock_timestamp() FROM publish_queue)";
    execute(
        &mut client,
        "UPDATE publish_queue SET turn_at = now() + interval '5 minutes', blocked = true",
    );
    assert_eq!(
        told(&mut client, "retry_lane('u')"),
        json!({"outcome": "retried"})
    );
    assert_eq!(told(&mut client, due), true);
    execute(
        &mut client,
        "UPDATE publish_queue SET
            turn_at = now() + interval '5 minutes', holder = gen_random_uuid(), held_until = now() + interval '5 seconds'",
    );
    assert_eq!(
        told(&mut client, "retry_lane('u')"),
        json!({"outcome": "held"})
    );
    assert_eq!(told(&mut client, due), false);
    assert_eq!(
        told(&mut client, "retry_lane('nobody')"),
        json!({"outcome": "published"})
    );
}

#[test]
fn after_a_restore_no_number_is_given_again() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    append(&mut client, "behind", 3);
    append(&mut client, "published", 2);
    execute(
        &mut client,
        "UPDATE lanes SET published = CASE user_id WHEN 'behind' THEN 1 ELSE 2 END;
        DELETE FROM publish_queue WHERE user_id = 'published'",
    );
    let raised = told(&mut client, "raise_lanes(1000)");
    assert_eq!(raised, json!({"lanes": 2, "events": 2, "start": 1000}));
    let numbers = "(SELECT jsonb_agg(jsonb_build_array(user_id, sequence) ORDER BY user_id, sequence) FROM events)";
    assert_eq!(
        told(&mut client, numbers),
        json!([
            ["behind", 1],
            ["behind", 1002],
            ["behind", 1003],
            ["published", 1],
            ["published", 2]
        ])
    );

    // Users go on there, and new ones begin there. What waits is published: the next event of each lane is found.
    for user in ["behind", "published", "new"] {
        append(&mut client, user, 2);
    }
    let lanes = "(SELECT jsonb_agg(jsonb_build_array(user_id, published, head) ORDER BY user_id) FROM lanes)";
    assert_eq!(
        told(&mut client, lanes),
        json!([
            ["behind", 1001, 1005],
            ["new", 1000, 1002],
            ["published", 1002, 1004]
        ])
    );
    let turns = "((take_turns(gen_random_uuid(), 100, '-infinity')).next_events)::jsonb";
    let next = told(&mut client, turns);
    let mut next: Vec<(&Value, &Value)> = next
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| (&event["user_id"], &event["event"]["sequence"]))
        .collect();
    next.sort_by_key(|(user, _)| user.as_str());
    assert_eq!(
        next,
        [
            (&json!("behind"), &json!("00000000000000001002")),
            (&json!("new"), &json!("00000000000000001001")),
            (&json!("published"), &json!("00000000000000001003"))
        ]
    );

    // Once more, as after a second restore: new lanes begin after all others.
    let again = told(&mut client, "raise_lanes(500)");
    assert_eq!(again["start"], 1500);
    append(&mut client, "newer", 1);
    let newer = "(SELECT head FROM lanes WHERE user_id = 'newer')";
    assert_eq!(told(&mut client, newer), 1501);
    assert!(client.batch_execute("SELECT raise_lanes(0)").is_err());
}

/// For how long users write, publishers publish and an operator meddles.
const BUSY: Duration = Duration::from_secs(4);

/// Numbers by user, in the order in which they came.
type Numbers = Mutex<BTreeMap<String, Vec<i64>>>;

fn note(numbers: &Numbers, user: &str, number: i64) {
    let mut numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner);
    numbers.entry(user.to_owned()).or_default().push(number);
}

/// Publishes for a sidecar until `done`, with a broker that takes some events and refuses others for a while or for good.
fn publish(database: &ScratchDatabase, sidecar: &str, landed: &Numbers, done: impl Fn() -> bool) {
    let mut client = database.connect();
    let mut results = json!([]);
    let mut token = Uuid::nil();
    let mut lot = 0;
    loop {
        let turn = format!("publish_turn('{sidecar}', '{token}', '{results}', 5)");
        let turn = told(&mut client, &turn);
        if turn["publisher"] != true {
            if done() {
                return;
            }
            token = Uuid::now_v7();
            results = json!([]);
            told(
                &mut client,
                &format!("become_publisher('{sidecar}', '{token}')"),
            );
            continue;
        }
        let events = turn["events"].as_array().into_iter().flatten();
        results = events
            .map(|event| {
                let (user, number) = (&event["user_id"], &event["sequence"]);
                lot = (lot * 7 + 3) % 101;
                let outcome = match lot {
                    0..10 => "failed",
                    10..30 => "rejected",
                    _ => {
                        note(
                            landed,
                            user.as_str().unwrap_or_default(),
                            number.as_i64().unwrap_or_default(),
                        );
                        "published"
                    }
                };
                json!({"user_id": user, "sequence": number, "outcome": outcome})
            })
            .collect();
    }
}

#[test]
fn an_operator_in_a_hurry_loses_nothing() {
    let database = ScratchDatabase::create();
    let users = ["u0", "u1", "u2", "u3"];
    let (landed, skipped) = (Numbers::default(), Numbers::default());
    let end = Instant::now() + BUSY;
    let is_busy = || Instant::now() < end;
    let waiting = "SELECT count(*) FROM publish_queue";
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = database.connect();
                for user in users.iter().cycle().take_while(|_| is_busy()) {
                    append(&mut client, user, 1);
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        for sidecar in ["s0", "s1"] {
            let (database, landed) = (&database, &landed);
            let done = move || !is_busy() && database.number(waiting) == 0;
            scope.spawn(move || publish(database, sidecar, landed, done));
        }
        scope.spawn(|| {
            let mut client = database.connect();
            for user in users.iter().cycle() {
                if !is_busy() && database.number(waiting) == 0 {
                    return;
                }
                let next = format!("(SELECT published + 1 FROM lanes WHERE user_id = '{user}')");
                let number = told(&mut client, &next).as_i64().unwrap_or(1);
                let outcome = told(&mut client, &format!("skip_event('{user}', {number})"));
                if outcome["outcome"] == "skipped" {
                    note(&skipped, user, number);
                } else {
                    told(&mut client, &format!("retry_lane('{user}')"));
                }
            }
        });
    });
    let landed = landed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let skipped = skipped.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut letters = 0;
    for user in users {
        let (landed, skipped) = (&landed[user], &skipped[user]);
        let first: BTreeSet<i64> = landed.iter().copied().collect();
        let given_up: BTreeSet<i64> = skipped.iter().copied().collect();
        assert!(first.is_disjoint(&given_up), "{user}");
        let head = database.number(&format!("SELECT head FROM lanes WHERE user_id = '{user}'"));
        let all: Vec<i64> = first.union(&given_up).copied().collect();
        assert_eq!(all, (1..=head).collect::<Vec<_>>(), "{user}");
        // Nothing arrives twice, because nobody crashes, and everything is in order.
        assert!(landed.is_sorted(), "{user}: {landed:?}");
        assert!(
            !given_up.is_empty() && first.len() > 20,
            "{user}: {landed:?} {skipped:?}"
        );
        letters += i64::try_from(skipped.len()).unwrap_or_default();
    }
    assert_eq!(
        database.number("SELECT count(*) FROM dead_letters"),
        letters
    );
}
