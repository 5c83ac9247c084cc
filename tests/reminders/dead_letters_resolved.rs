//! What an operator does about records that no handler could deal with: replays and discards them.

use e2e::dead_letters::given_up;
use e2e::events::records_of;
use e2e::logs;
use e2e::operations;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::{Limit, until};
use operator::dead_letters;
use serde_json::{Value, json};
use stack::endpoints::TASKS_TOPIC;

use crate::dead_letters::{append, kept_as, letter, position};
use crate::support::{LEAD, due, in_seconds, micros, row, settled, short_lead_stack};

#[test]
fn an_event_that_fails_four_times_becomes_a_dead_letter_and_is_handled_when_replayed() {
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
    let task = due(&todo, &in_seconds(LEAD + 10_000));
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
fn a_replayed_record_that_fails_again_is_another_dead_letter() {
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
    // As if somebody else had written the headers with a record's position.
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
    // It is not an event, so it becomes a dead letter again.
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
