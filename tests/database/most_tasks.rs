//! How many tasks a user may have.

use postgres::Client;
use serde_json::{Value, json};

use crate::scratch_database::{ScratchDatabase, execute};

/// Creates a task of the user `u`, with a key where there is one.
fn create(client: &mut Client, key: Option<&str>) -> Value {
    let statement = "SELECT create_task(
        user_id => 'u',
        task_id => gen_random_uuid(),
        fields => '{\"title\": \"t\", \"priority\": \"low\", \"tags\": [], \"timezone\": \"UTC\", \"is_recurring\": false}',
        key => $1::text,
        request_hash => '\\x01',
        outbox => jsonb_build_object('event_id', gen_random_uuid())
    )::text";
    match client.query_one(statement, &[&key]) {
        Ok(row) => serde_json::from_str(&row.get::<_, String>(0)).unwrap_or_default(),
        Err(error) => panic!("{error:?}"),
    }
}

fn count(client: &mut Client) -> Option<i64> {
    match client.query_one("SELECT tasks FROM lanes WHERE user_id = 'u'", &[]) {
        Ok(row) => row.get(0),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn the_number_of_a_users_tasks_is_counted_from_events_or_from_the_tasks() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    let first = create(&mut client, None);
    assert_eq!(first["outcome"], "changed", "{first}");
    assert_eq!(count(&mut client), None, "a new lane has not looked yet");
    create(&mut client, None);
    assert_eq!(count(&mut client), Some(2));
    create(&mut client, None);
    assert_eq!(count(&mut client), Some(3));
    for function in ["complete_task", "reopen_task", "delete_task"] {
        let call = format!(
            "SELECT {function}(
                user_id => 'u', task_id => '{}', outbox => jsonb_build_object('event_id', gen_random_uuid())
            )",
            first["task"]["id"].as_str().unwrap_or_default()
        );
        execute(&mut client, &call);
    }
    assert_eq!(count(&mut client), Some(2));
}

#[test]
fn a_user_with_most_tasks_creates_no_more_until_one_is_deleted() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    let last = create(&mut client, Some("the last"));
    execute(
        &mut client,
        "UPDATE lanes SET tasks = most_tasks() WHERE user_id = 'u'",
    );
    let before = count(&mut client);
    for key in [None, Some("another")] {
        assert_eq!(
            create(&mut client, key),
            json!({"outcome": "too_many_tasks", "task": null, "emitted": null})
        );
    }
    let repeated = create(&mut client, Some("the last"));
    assert_eq!(repeated["outcome"], "repeated", "{repeated}");
    assert_eq!(repeated["task"]["id"], last["task"]["id"]);
    assert_eq!(count(&mut client), before);
    execute(
        &mut client,
        &format!(
            "SELECT delete_task(
                user_id => 'u', task_id => '{}', outbox => jsonb_build_object('event_id', gen_random_uuid())
            )",
            last["task"]["id"].as_str().unwrap_or_default()
        ),
    );
    let next = create(&mut client, Some("another"));
    assert_eq!(
        next["outcome"], "changed",
        "the refused key is free: {next}"
    );
}

#[test]
fn a_recurring_task_has_its_next_instance_whatever_the_number() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    let first = create(&mut client, None);
    execute(
        &mut client,
        "UPDATE lanes SET tasks = most_tasks() WHERE user_id = 'u'",
    );
    let statement = "SELECT create_successor(
        event_id => gen_random_uuid(), user_id => 'u', task_id => $1::text::uuid, occurrence => 2,
        successor_id => gen_random_uuid(),
        fields => jsonb_build_object(
            'title', 't', 'priority', 'low', 'tags', '[]'::jsonb, 'timezone', 'UTC', 'is_recurring', true,
            'recurring_interval', 'daily', 'due_date', now(), 'anchor_day', 1, 'series_id', $1::text, 'occurrence', 2
        ),
        outbox => jsonb_build_object('event_id', gen_random_uuid())
    ) ->> 'outcome'";
    let outcome: String = match client.query_one(statement, &[&first["task"]["id"].as_str()]) {
        Ok(row) => row.get(0),
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(outcome, "changed");
}
