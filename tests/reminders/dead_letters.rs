//! Records that no handler could deal with: how they are kept and alerted to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::database::Database;
use e2e::dead_letters::given_up;
use e2e::events::records_of;
use e2e::flow::{publish, wait_until_settled};
use e2e::logs;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;
use stack::kafka;
use uuid::Uuid;

use crate::support::{due, id, in_days, settled, short_lead_stack};

/// A dead letter by the position that its record had; null where there is none.
fn letter_at(database: &mut Database, topic: &str, partition: i32, offset: i64) -> Value {
    database.json(
        "SELECT to_jsonb(letter) - 'payload' || jsonb_build_object('payload', encode(payload, 'base64'))
        FROM dead_letters AS letter
        WHERE topic = $1 AND kafka_partition::text = $2 AND kafka_offset::text = $3",
        &[topic, &partition.to_string(), &offset.to_string()],
    )
}

/// Waits for a dead letter.
pub fn letter(todo: &TestUser, topic: &str, partition: i32, offset: i64, deliveries: i64) -> Value {
    let mut database = todo.database();
    until("a dead letter", Limit::DELIVERY, || {
        let letter = letter_at(&mut database, topic, partition, offset);
        if letter["deliveries"] == deliveries {
            Ok(letter)
        } else {
            Err(letter)
        }
    })
}

/// Waits for the dead letter of a record by its content.
pub fn kept_as(todo: &TestUser, body: &str) -> Value {
    let mut database = todo.database();
    until("a dead letter", Limit::DELIVERY, || {
        let kept = database.json(
            "SELECT jsonb_build_object('count', count(*), 'user_id', min(user_id))
            FROM dead_letters WHERE payload = convert_to($1, 'UTF8')",
            &[body],
        );
        if kept["count"] == 0 {
            Err(kept)
        } else {
            Ok(kept)
        }
    })
}

/// The lines that alert to a dead letter.
fn alerts(todo: &TestUser, letter: &Value) -> Vec<Value> {
    let mut lines = logs::lines_of(todo.stack(), "event-relay", string_member(letter, "id"));
    lines.retain(|line| line["level"] == "error");
    lines
}

/// The bytes of a dead letter.
fn payload(letter: &Value) -> Vec<u8> {
    let base64 = string_member(letter, "payload").replace('\n', "");
    STANDARD.decode(base64).unwrap_or_default()
}

/// Where the record of an event is: partition and offset.
pub fn position(todo: &TestUser, event_id: &str) -> (i32, i64) {
    let records = records_of(todo.stack(), TASKS_TOPIC, todo.user());
    let record = records
        .iter()
        .find(|record| record.json().is_ok_and(|event| event["id"] == event_id));
    match record {
        Some(record) => (record.partition, record.offset),
        None => panic!("no record of {event_id}: {records:?}"),
    }
}

/// Writes a record as another producer would. Returns its offset.
pub fn append(todo: &TestUser, partition: i32, key: &[u8], body: &[u8]) -> i64 {
    let broker = &todo.stack().kafka;
    match kafka::append(broker, TASKS_TOPIC, partition, Some(key), &[], body) {
        Ok(offset) => offset,
        Err(error) => panic!("{error:#}"),
    }
}

#[test]
fn a_dropped_event_becomes_one_dead_letter_with_its_position_and_one_alert() {
    let todo = TestUser::random();
    let task = due(&todo, &in_days(3));
    let mut event = wait_until_settled(&todo, Limit::DELIVERY).remove(0);
    event["id"] = json!(Uuid::now_v7());
    event["data"]["due_date"] = json!("soon");
    publish(&todo, TASKS_TOPIC, &event);
    let (partition, offset) = position(&todo, string_member(&event, "id"));
    let kept = letter(&todo, TASKS_TOPIC, partition, offset, 1);
    assert_eq!(kept["status"], "open");
    assert_eq!(kept["event_id"], event["id"]);
    assert_eq!(kept["event_type"], "task.created");
    assert_eq!(kept["user_id"], todo.user());
    let stored: Value = serde_json::from_slice(&payload(&kept)).unwrap_or_default();
    assert_eq!(stored["data"], event["data"]);
    let line = until("the alert", Limit::SOON, || {
        alerts(&todo, &kept).first().cloned().ok_or("none")
    });
    assert_eq!(line["message"], "dead letter");
    assert_eq!(line["event_id"], event["id"]);
    assert_eq!(line["user_id"], todo.user());
    assert_eq!(line["task_id"], task["id"]);
    assert_eq!(line["topic"], TASKS_TOPIC);
    assert_eq!(line["partition"], partition);
    assert_eq!(line["offset"], offset);
    // Unretried: the handler saw it once.
    let lines = logs::lines_of(
        todo.stack(),
        "reminder-handler",
        string_member(&event, "id"),
    );
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(lines[0]["outcome"], "dropped");

    // The next event of the same user, so in the same partition, is handled.
    let next = due(&todo, &in_days(3));
    settled(&todo, &next, "scheduled", Limit::DELIVERY);
}

#[test]
fn a_dead_letter_delivered_again_is_counted_and_alerts_no_more() {
    let todo = TestUser::random();
    let topic = format!("topic-{}", Uuid::now_v7());
    let event =
        json!({"id": Uuid::now_v7(), "type": "task.created", "data": {"user_id": todo.user()}});
    for deliveries in 1..=3 {
        let answer = given_up(&todo, &topic, 7, event.to_string().as_bytes()).expect(200);
        assert_eq!(answer.json(), json!({"status": "SUCCESS"}));
        letter(&todo, &topic, 0, 7, deliveries);
    }
    let kept = letter(&todo, &topic, 0, 7, 3);
    until("the lines of all", Limit::SOON, || {
        let lines = logs::lines_of(todo.stack(), "event-relay", string_member(&kept, "id"));
        let delivered = lines.iter().filter(|line| line["message"] == "delivery");
        match delivered.count() {
            3 => Ok(()),
            count => Err(count),
        }
    });
    assert_eq!(alerts(&todo, &kept).len(), 1);

    // The same event at another position is another dead letter.
    given_up(&todo, &topic, 8, event.to_string().as_bytes()).expect(200);
    let other = letter(&todo, &topic, 0, 8, 1);
    assert_eq!(alerts(&todo, &other).len(), 1);
}

/// Offsets begin at 0 again when a topic is deleted and created again.
#[test]
fn another_record_at_a_used_position_is_another_dead_letter() {
    let todo = TestUser::random();
    let topic = format!("topic-{}", Uuid::now_v7());
    given_up(&todo, &topic, 7, b"first").expect(200);
    let first = letter(&todo, &topic, 0, 7, 1);
    resolve(&todo, &first);
    given_up(&todo, &topic, 7, b"second").expect(200);
    let kept = todo.database().json(
        "SELECT jsonb_agg(jsonb_build_array(convert_from(payload, 'UTF8'), status, deliveries) ORDER BY id)
        FROM dead_letters WHERE topic = $1",
        &[&topic],
    );
    assert_eq!(
        kept,
        json!([["first", "discarded", 1], ["second", "open", 1]])
    );
}

/// Marks a dead letter as dealt with.
fn resolve(todo: &TestUser, letter: &Value) {
    let discarded = todo.database().client().execute(
        "UPDATE dead_letters SET status = 'discarded', resolved_at = now() WHERE id::text = $1",
        &[&string_member(letter, "id")],
    );
    assert_eq!(discarded.ok(), Some(1));
}

#[test]
fn a_dead_letter_that_returns_is_open_again_and_alerts() {
    let todo = TestUser::random();
    let topic = format!("topic-{}", Uuid::now_v7());
    given_up(&todo, &topic, 7, b"again").expect(200);
    let kept = letter(&todo, &topic, 0, 7, 1);
    resolve(&todo, &kept);
    given_up(&todo, &topic, 7, b"again").expect(200);
    let back = letter(&todo, &topic, 0, 7, 2);
    assert_eq!(
        (&back["id"], &back["status"]),
        (&kept["id"], &json!("open"))
    );
    assert_eq!(back["resolved_at"], Value::Null);
    until("a second alert", Limit::SOON, || {
        match alerts(&todo, &kept).len() {
            2 => Ok(()),
            count => Err(count),
        }
    });
}

#[test]
fn any_bytes_are_kept_as_they_are() {
    let todo = TestUser::random();
    let topic = format!("topic-{}", Uuid::now_v7());
    let large = vec![b'x'; 1_000_000];
    let bodies: [&[u8]; 6] = [
        b"",
        b"\0\xff\xfe",
        b"no json",
        br#"{"id": 7, "type": ["x"], "data": {"user_id": "a\u0000b"}}"#,
        br#"{"id": "a\u0000b", "data_base64": "eA=="}"#,
        &large,
    ];
    for (offset, body) in (0..).zip(bodies) {
        given_up(&todo, &topic, offset, body).expect(200);
        assert_eq!(payload(&letter(&todo, &topic, 0, offset, 1)), body);
    }
}

#[test]
fn a_record_that_is_no_json_is_kept_and_holds_up_nobody() {
    let todo = TestUser::random();
    let task = todo.created_with(json!({
        "title": "t", "is_recurring": true, "recurring_interval": "daily", "due_date": in_days(3),
    }));
    let events = wait_until_settled(&todo, Limit::DELIVERY);
    let (partition, _) = position(&todo, string_member(&events[0], "id"));
    let body = b"no json \0\xff";
    let offset = append(&todo, partition, b"somebody", body);
    // Both groups move it to the dead letters.
    let kept = letter(&todo, TASKS_TOPIC, partition, offset, 2);
    assert_eq!(payload(&kept), body);
    assert_eq!(kept["event_id"], Value::Null);
    assert_eq!(kept["user_id"], "somebody");
    assert_eq!(alerts(&todo, &kept).len(), 1);
    todo.complete(id(&task)).task(200);
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(todo.listed("").len(), 2);
}

#[test]
fn keys_and_headers_that_are_invalid_in_http_hold_up_nobody() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    todo.created("t");
    let event = wait_until_settled(&todo, Limit::DELIVERY).remove(0);
    let (partition, _) = position(&todo, string_member(&event, "id"));
    let mut told = Vec::new();
    for (key, header) in [
        (&b"a@b|c"[..], ("name", &b"value"[..])),
        (b"\xff\x00", ("name", b"value")),
        (b"a\nb: c\r\n", ("name", b"\r\n\x00\xff")),
        ("schlüssel".as_bytes(), ("na me\n: \u{fc}", b"value")),
        (b"", ("", b"")),
        (b"x", ("dapr-api-token", b"another")),
        (b"x", ("__na me", b"value")),
        // Those in which Dapr keeps a record's position, written by somebody else.
        (b"x", ("__topic", b"a\0b c")),
        (b"x", ("__partition", b"none")),
        (b"x", ("__offset", b"99999999999999999999")),
        (b"x", ("__key", b"\xff")),
    ] {
        let unique = Uuid::now_v7().to_string();
        let event = json!({
            "specversion": "1.0", "id": unique, "source": "s", "type": "task.created",
            "data": {"task_id": "private words"},
        });
        for body in [format!("no json {unique}"), event.to_string()] {
            let appended = kafka::append(
                &todo.stack().kafka,
                TASKS_TOPIC,
                partition,
                Some(key),
                &[header],
                body.as_bytes(),
            );
            assert!(appended.is_ok(), "{appended:?}");
            let kept = kept_as(&todo, &body);
            assert_eq!(kept["count"], 1, "{kept}");
            told.push(kept["user_id"].clone());
        }
    }
    assert_eq!(told[0], "a@b|c", "{told:?}");
    assert_eq!(told[1], "a@b|c", "{told:?}");
    todo.created("next");
    wait_until_settled(&todo, Limit::DELIVERY);
    logs::assert_absent(stack.endpoints(), &["private words"]);
}
