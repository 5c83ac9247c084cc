//! Records that no handler could deal with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::answer::Answer;
use e2e::database::Database;
use e2e::events::records_of;
use e2e::flow::{publish, wait_until_settled};
use e2e::logs;
use e2e::operations;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use operator::dead_letters;
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;
use stack::kafka;
use uuid::Uuid;

use crate::support::{due, id, in_days, in_seconds, micros, row, settled, short_lead_stack};

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
fn letter(todo: &TestUser, topic: &str, partition: i32, offset: i64, deliveries: i64) -> Value {
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
fn kept_as(todo: &TestUser, body: &str) -> Value {
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
fn position(todo: &TestUser, event_id: &str) -> (i32, i64) {
    let records = records_of(todo.stack(), TASKS_TOPIC, todo.user());
    let record = records
        .iter()
        .find(|record| record.json().is_ok_and(|event| event["id"] == event_id));
    match record {
        Some(record) => (record.partition, record.offset),
        None => panic!("no record of {event_id}: {records:?}"),
    }
}

/// Writes a record as a stranger would; gives its offset.
fn append(todo: &TestUser, partition: i32, key: &[u8], body: &[u8]) -> i64 {
    let broker = &todo.stack().kafka;
    match kafka::append(broker, TASKS_TOPIC, partition, Some(key), &[], body) {
        Ok(offset) => offset,
        Err(error) => panic!("{error:#}"),
    }
}

/// A delivery of the dead-letter topic, as the sidecar makes it.
fn given_up(todo: &TestUser, topic: &str, offset: i64, body: &[u8]) -> Answer {
    let wrapped = json!({
        "specversion": "1.0", "id": Uuid::now_v7(), "source": "todo-events", "type": "com.dapr.event.sent",
        "datacontenttype": "application/octet-stream", "data_base64": STANDARD.encode(body),
    });
    todo.call("POST", "/api/events/dead-letters")
        .authorization(None)
        .header("dapr-api-token", &todo.stack().secrets.app_token)
        .header("__topic", topic)
        .header("__partition", "0")
        .header("__offset", &offset.to_string())
        .json(&wrapped)
        .send()
}

#[test]
fn what_a_handler_drops_is_kept_once_with_its_position_and_alerts_once() {
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

/// Offsets begin anew when a topic is made anew.
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
    // Both groups give it up.
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
fn keys_and_headers_that_no_http_header_can_be_hold_up_nobody() {
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

#[test]
fn what_fails_four_times_is_given_up_and_is_handled_when_it_is_replayed() {
    let stack = short_lead_stack();
    let todo = TestUser::random_on(stack.endpoints());
    let name = todo.user().replace('-', "_");
    let mut database = todo.database();
    // Postgres refuses the reminders of this user, in words that make no handler wait for better times.
    let broken = database.client().batch_execute(&format!(
        "CREATE FUNCTION refuse_{name}() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'the row violates a test'; END $$;
        CREATE TRIGGER refuse_{name} BEFORE INSERT ON reminders FOR EACH ROW
            WHEN (NEW.user_id = '{user}') EXECUTE FUNCTION refuse_{name}()",
        user = todo.user()
    ));
    assert!(broken.is_ok(), "{broken:?}");
    let task = due(&todo, &in_seconds(crate::support::LEAD + 10_000));
    todo.settle(Limit::DELIVERY);
    let event = todo.stored_events().remove(0);
    let (partition, offset) = position(&todo, string_member(&event, "id"));
    let kept = letter(&todo, TASKS_TOPIC, partition, offset, 1);

    let mut tries = logs::lines_of(
        todo.stack(),
        "reminder-handler",
        string_member(&event, "id"),
    );
    tries.retain(|line| line["outcome"] == "retried");
    assert_eq!(tries.len(), 4, "{tries:#?}");
    let times: Vec<i64> = tries
        .iter()
        .map(|line| micros(string_member(line, "timestamp")))
        .collect();
    // About 0.5, 0.75 and 1.1 s, each up to half more or less.
    for (pair, wait) in times.windows(2).zip([500_000, 750_000, 1_125_000]) {
        let waited = pair[1] - pair[0];
        assert!(waited >= wait / 2 && waited < wait * 3, "{times:?}");
    }
    // Not retried by itself; the other group had no trouble.
    assert_eq!(kept["status"], "open");
    assert_eq!(row(&todo, &task), Value::Null);
    let repaired = database
        .client()
        .batch_execute(&format!("DROP FUNCTION refuse_{name} CASCADE"));
    assert!(repaired.is_ok(), "{repaired:?}");

    let deployment = operations::deployment(todo.stack());
    let letter_id = string_member(&kept, "id");
    let listed = dead_letters::list(&deployment, false, 1_000);
    assert!(
        listed.is_ok_and(|listed| listed.iter().any(|listed| listed.id == letter_id)),
        "{kept}"
    );
    match dead_letters::replay(&deployment, letter_id, None) {
        Ok(letter) => assert_eq!(letter.status, "replayed"),
        Err(error) => panic!("{error:#}"),
    }
    settled(&todo, &task, "scheduled", Limit::DELIVERY);
    let records = records_of(todo.stack(), TASKS_TOPIC, todo.user());
    assert_eq!(records.len(), 2, "{records:#?}");
    assert_eq!(records[0].value, records[1].value);
    assert_eq!(records[0].key, records[1].key);
    assert_eq!(records[0].partition, records[1].partition);

    // Only once, and what is replayed cannot be discarded.
    assert!(dead_letters::replay(&deployment, letter_id, None).is_err());
    assert!(dead_letters::discard(&deployment, letter_id).is_err());
    assert_eq!(records_of(todo.stack(), TASKS_TOPIC, todo.user()).len(), 2);
    let kept = letter(&todo, TASKS_TOPIC, partition, offset, 1);
    assert_eq!(kept["status"], "replayed");
}

#[test]
fn bytes_are_replayed_as_they_were_and_given_up_again_they_are_another_dead_letter() {
    let todo = TestUser::random();
    let body = format!("no json \0 of {}", todo.user());
    let offset = append(&todo, 0, todo.user().as_bytes(), body.as_bytes());
    let kept = letter(&todo, TASKS_TOPIC, 0, offset, 2);
    let deployment = operations::deployment(todo.stack());
    if let Err(error) = dead_letters::replay(&deployment, string_member(&kept, "id"), None) {
        panic!("{error:#}");
    }
    let records = records_of(todo.stack(), TASKS_TOPIC, todo.user());
    let again = records
        .iter()
        .find(|record| (record.partition, record.offset) != (0, offset));
    let Some(again) = again else {
        panic!("it is not there again: {records:?}");
    };
    assert_eq!(again.value, body.as_bytes());
    let second = letter(&todo, TASKS_TOPIC, again.partition, again.offset, 2);
    assert_eq!(second["status"], "open");

    match dead_letters::discard(&deployment, string_member(&second, "id")) {
        Ok(letter) => assert_eq!(letter.status, "discarded"),
        Err(error) => panic!("{error:#}"),
    }
    assert!(dead_letters::replay(&deployment, string_member(&second, "id"), None).is_err());
    assert_eq!(
        records_of(todo.stack(), TASKS_TOPIC, todo.user()).len(),
        2,
        "only once"
    );
    assert!(dead_letters::find(&deployment, "none").is_err());
}

#[test]
fn a_dead_letter_of_an_unknown_topic_is_replayed_only_to_a_named_topic() {
    let todo = TestUser::random();
    let body = format!("no json of {}", todo.user());
    // As where somebody else wrote the headers that tell where a record was.
    given_up(&todo, "a\tb", 7, body.as_bytes()).expect(200);
    let kept = kept_as(&todo, &body);
    assert_eq!(kept["count"], 1);
    let letter = todo.database().json(
        "SELECT jsonb_build_object('id', id, 'topic', topic) FROM dead_letters WHERE payload = convert_to($1, 'UTF8')",
        &[&body],
    );
    assert_eq!(letter["topic"], "unknown");
    let deployment = operations::deployment(todo.stack());
    let status = || {
        dead_letters::find(&deployment, string_member(&letter, "id")).map(|letter| letter.status)
    };
    match dead_letters::replay(&deployment, string_member(&letter, "id"), None) {
        Ok(letter) => panic!("{letter:?}"),
        Err(error) => assert!(error.to_string().contains("--topic"), "{error:#}"),
    }
    assert_eq!(status().ok().as_deref(), Some("open"));
    // Where it is no event, its handler gives it up once more.
    if let Err(error) =
        dead_letters::replay(&deployment, string_member(&letter, "id"), Some(TASKS_TOPIC))
    {
        panic!("{error:#}");
    }
    assert_eq!(status().ok().as_deref(), Some("replayed"));
    until(
        "it is given up again, from a known topic",
        Limit::DELIVERY,
        || {
            let topics = todo.database().json(
            "SELECT jsonb_agg(topic ORDER BY topic) FROM dead_letters WHERE payload = convert_to($1, 'UTF8')",
            &[&body],
        );
            if topics == json!([TASKS_TOPIC, "unknown"]) {
                Ok(())
            } else {
                Err(topics)
            }
        },
    );
}
