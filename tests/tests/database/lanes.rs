//! What an operator can do about lanes.

use postgres::Client;
use serde_json::{Value, json};

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
fn a_lane_is_retried_unless_somebody_is_about_to() {
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
    let turns = "(take_turns(gen_random_uuid(), 100, '-infinity')).next_events";
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
