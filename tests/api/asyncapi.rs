//! The events' description and the schemas of their data: they are served and complete, they describe what is at the
//! broker, and the check notices an event that is not as described. (The harness checks every event that any test
//! reads.)

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use domain::event::EventType;
use e2e::asyncapi::{ASYNCAPI, DESCRIPTION, check, schemas, validator};
use e2e::events::records_of;
use e2e::flow::wait_until_settled;
use e2e::test_user::{TestUser, string_member};
use e2e::wait::Limit;
use serde_json::{Map, Value, json};
use stack::endpoints::{REMINDERS_TOPIC, TASKS_TOPIC};
use stack::kafka::Record;
use stack::workspace;

/// The members of an object of the description.
fn members(pointer: &str) -> &'static Map<String, Value> {
    match DESCRIPTION.pointer(pointer).and_then(Value::as_object) {
        Some(members) => members,
        None => panic!("asyncapi.json has no {pointer}"),
    }
}

/// The names of the messages that references lead to.
fn named(references: &Value) -> BTreeSet<&str> {
    let references = references.as_array().into_iter().flatten();
    references
        .filter_map(|reference| reference["$ref"].as_str()?.rsplit('/').next())
        .collect()
}

/// Records of events of each type with their topic, but for `reminder.triggered`, which takes a service with a shorter lead;
/// see `tests/reminders`.
fn events(todo: &TestUser) -> Vec<(&'static str, Record)> {
    let far = "2099-01-31T09:00:00+01:00";
    let task = todo.created_with(json!({
        "title": "Water the plants", "due_date": far, "is_recurring": true, "recurring_interval": "weekly",
    }));
    let id = string_member(&task, "id");
    // A task that is gone when its event is handled gets no reminder.
    wait_until_settled(todo, Limit::DELIVERY);
    todo.patch(id, json!({"title": "Water all plants"}))
        .task(200);
    todo.complete(id).task(200);
    todo.delete(id).expect(204);
    let other = todo.created_with(json!({
        "title": "Water the lawn", "is_recurring": true, "recurring_interval": "daily",
    }));
    todo.skip(string_member(&other, "id")).task(200);
    wait_until_settled(todo, Limit::DELIVERY);
    [TASKS_TOPIC, REMINDERS_TOPIC]
        .into_iter()
        .flat_map(|topic| {
            let records = records_of(todo.stack(), topic, todo.user());
            records.into_iter().map(move |record| (topic, record))
        })
        .collect()
}

#[test]
fn asyncapi_json_is_served_as_committed() {
    let todo = TestUser::random();
    let call = todo.call("GET", "/asyncapi.json").authorization(None);
    let answer = call.send().expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(String::from_utf8_lossy(&answer.body), ASYNCAPI);
}

#[test]
fn asyncapi_json_is_valid() {
    let schema = workspace::root().join("tests/data/asyncapi/asyncapi-3.0.0.json");
    let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}"));
    let validator = jsonschema::options()
        .build(&schema)
        .unwrap_or_else(|error| panic!("{error}"));
    let misfits = |document: &Value| -> Vec<String> {
        let misfits = validator.iter_errors(document);
        misfits
            .map(|misfit| format!("{} at {}", misfit, misfit.instance_path()))
            .collect()
    };
    assert_eq!(misfits(&DESCRIPTION), Vec::<String>::new());
    for (pointer, value) in [
        ("/channels/tasks/bindings/kafka/partitions", json!("twelve")),
        (
            "/channels/tasks/bindings/kafka/bindingVersion",
            json!("0.6.0"),
        ),
        ("/operations/send-tasks/action", json!("publish")),
        ("/servers/kubernetes/protocol", Value::Null),
    ] {
        let mut document = DESCRIPTION.clone();
        match document.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => panic!("no {pointer}"),
        }
        assert!(!misfits(&document).is_empty(), "{pointer}");
    }
}

#[test]
fn every_type_is_described_in_one_topic() {
    let types: BTreeSet<&str> = EventType::ALL.map(EventType::as_str).into();
    let topics = members("/channels");
    let mut messages: Vec<&str> = Vec::new();
    for (topic, channel) in topics {
        assert_eq!(channel["address"], topic.as_str());
        let published = named(&DESCRIPTION["operations"][format!("send-{topic}")]["messages"]);
        let in_topic = channel["messages"].as_object().into_iter().flatten();
        let in_topic: BTreeSet<&str> = in_topic.map(|(name, _)| name.as_str()).collect();
        assert_eq!(published, in_topic, "{topic}");
        messages.extend(in_topic);
    }
    messages.sort_unstable();
    let mut expected: Vec<&str> = types.iter().copied().chain(["dead-letter"]).collect();
    expected.sort_unstable();
    assert_eq!(messages, expected);
    let described: Vec<&str> = members("/components/messages")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(described, expected);
    let committed = schemas();
    assert_eq!(committed.len(), types.len());
    for event_type in EventType::ALL {
        let mut schema = committed[&event_type.data_schema()].clone();
        if let Some(members) = schema.as_object_mut() {
            for of_a_document in ["$schema", "$id", "title"] {
                members.remove(of_a_document);
            }
        }
        assert_eq!(
            schema,
            DESCRIPTION["components"]["schemas"][event_type.as_str()]
        );
    }
}

#[test]
fn asyncapi_json_says_who_receives_what() {
    let todo = TestUser::random();
    let call = todo.call("GET", "/dapr/subscribe").authorization(None);
    let subscriptions = call.send().expect(200).json();
    let mut expected = BTreeMap::new();
    for subscription in subscriptions.as_array().into_iter().flatten() {
        let group = match string_member(subscription, "pubsubname") {
            "kafka-pubsub" => "recurrence",
            "kafka-pubsub-reminders" => "reminder",
            other => panic!("{other}"),
        };
        let rules = subscription["routes"]["rules"]
            .as_array()
            .into_iter()
            .flatten();
        let rules: BTreeSet<String> = rules
            .map(|rule| string_member(rule, "match").to_owned())
            .collect();
        expected.insert(
            (
                string_member(subscription, "topic").to_owned(),
                group.to_owned(),
            ),
            rules,
        );
    }
    let mut described = BTreeMap::new();
    for operation in members("/operations").values() {
        if operation["action"] != "receive" {
            continue;
        }
        let channel = string_member(&operation["channel"], "$ref");
        let topic = channel.trim_start_matches("#/channels/").to_owned();
        let group = &operation["bindings"]["kafka"]["groupId"]["enum"][0];
        let rules = string_member(operation, "description").lines();
        let rules: BTreeSet<String> = rules
            .filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`'))
            .map(str::to_owned)
            .collect();
        let types: BTreeSet<&str> = rules
            .iter()
            .filter_map(|rule| rule.split('"').nth(1))
            .collect();
        if rules.is_empty() {
            assert_eq!(named(&operation["messages"]), ["dead-letter"].into());
        } else {
            assert_eq!(named(&operation["messages"]), types);
        }
        let group = group.as_str().unwrap_or_default().to_owned();
        described.insert((topic, group), rules);
    }
    assert_eq!(described, expected);
}

#[test]
fn a_subscriber_finds_the_schema_of_what_it_received_and_the_data_fits() {
    let todo = TestUser::random();
    let mut seen = BTreeSet::new();
    for (_, record) in events(&todo) {
        let event = record.json().unwrap_or_default();
        let name = string_member(&event, "dataschema");
        let call = todo.call("GET", format!("/schemas/{name}"));
        let answer = call.authorization(None).send().expect(200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/schema+json")
        );
        assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
        let schema = answer.json();
        assert_eq!(schema["$id"], name);
        let validator = validator(&schema);
        let fits = |data: &Value| validator.is_valid(data);
        assert!(fits(&event["data"]), "{event:#}");
        // What a later version may add, and what no version may leave out.
        let mut later = event["data"].clone();
        later["colour"] = json!("red");
        assert!(fits(&later), "{later:#}");
        let mut broken = event["data"].clone();
        broken["user_id"].take();
        assert!(!fits(&broken), "{broken:#}");
        seen.insert(string_member(&event, "type").to_owned());
    }
    let all_but_triggered = EventType::ALL.map(EventType::as_str);
    let all_but_triggered = all_but_triggered
        .into_iter()
        .filter(|name| *name != "reminder.triggered");
    assert_eq!(seen, all_but_triggered.map(str::to_owned).collect());
}

#[test]
fn unknown_schema_names_are_not_found() {
    let todo = TestUser::random();
    for name in [
        "task.created",
        "urn:todo-events:schema:task.created:2",
        "urn:todo-events:schema:task.mislaid:1",
        "urn%3Atodo-events%3Aschema%3Atask.created%3A1%2F",
    ] {
        let call = todo.call("GET", format!("/schemas/{name}"));
        call.authorization(None).send().problem(404, "not-found");
    }
    // A client may encode more than it must.
    let encoded = "urn%3Atodo-events%3Aschema%3Atask.created%3A1";
    let call = todo.call("GET", format!("/schemas/{encoded}"));
    call.authorization(None).send().expect(200);
}

/// Shows that the check finds mistakes, so that the tests may rely on it.
#[test]
fn an_event_that_is_not_as_described_is_noticed() {
    let todo = TestUser::random();
    let records = events(&todo);
    let of_type = |name: &str| {
        let events = records.iter().filter_map(|(_, record)| record.json().ok());
        match events.into_iter().find(|event| event["type"] == name) {
            Some(event) => event,
            None => panic!("no {name} in {records:#?}"),
        }
    };
    let without = "(left out)";
    for (name, pointer, value, what) in [
        ("task.created", "/specversion", json!("0.3"), "/specversion"),
        (
            "task.created",
            "/specversion",
            json!(without),
            "specversion",
        ),
        ("task.created", "/id", json!("7"), "/id"),
        (
            "task.created",
            "/source",
            json!("/todo/task-api"),
            "/source",
        ),
        (
            "task.created",
            "/source",
            json!("/todo/users/bob"),
            "source",
        ),
        ("task.created", "/type", json!("task.mislaid"), "dataschema"),
        ("task.created", "/type", json!("task.deleted"), "dataschema"),
        ("task.created", "/time", json!("yesterday"), "/time"),
        (
            "task.created",
            "/time",
            json!("2026-01-31T08:00:00.000000Z"),
            "data.timestamp",
        ),
        ("task.created", "/sequence", json!(7), "/sequence"),
        ("task.created", "/dataschema", json!(without), "dataschema"),
        ("task.created", "/colour", json!("red"), "colour"),
        ("task.created", "/data", json!("text"), "/data"),
        ("task.created", "/data/colour", json!("red"), "colour"),
        ("task.created", "/data/title", Value::Null, "/data/title"),
        (
            "task.created",
            "/data/priority",
            json!("urgent"),
            "/data/priority",
        ),
        (
            "task.created",
            "/data/due_date",
            json!("2026-13-01T00:00:00Z"),
            "/data/due_date",
        ),
        ("task.created", "/data/tags", json!(without), "tags"),
        (
            "task.created",
            "/data/user_id",
            json!("bob"),
            "data.user_id",
        ),
        (
            "task.updated",
            "/data/changed_fields",
            json!([]),
            "/data/changed_fields",
        ),
        (
            "task.updated",
            "/data/changed_fields/0",
            json!("mood"),
            "/data/changed_fields/0",
        ),
        (
            "task.deleted",
            "/data/was_completed",
            json!("yes"),
            "/data/was_completed",
        ),
        (
            "reminder.scheduled",
            "/data/remind_at",
            json!(without),
            "remind_at",
        ),
        (
            "reminder.cancelled",
            "/data/reason",
            json!("boredom"),
            "/data/reason",
        ),
    ] {
        let mut event = of_type(name);
        assert_eq!(check(&event), Ok(()), "{event:#}");
        let (parent, member) = pointer.rsplit_once('/').unwrap_or_default();
        match event.pointer_mut(parent) {
            Some(Value::Object(members)) if value == json!(without) => {
                members.remove(member);
            }
            Some(Value::Object(members)) => {
                members.insert(member.to_owned(), value);
            }
            Some(Value::Array(items)) => items[0] = value,
            _ => panic!("no {parent} in {event}"),
        }
        let noticed = check(&event).expect_err(pointer);
        assert!(noticed.contains(what), "{pointer}: {noticed}");
    }
}

#[test]
fn the_examples_are_events() {
    for (name, message) in members("/components/messages") {
        for example in message["examples"].as_array().into_iter().flatten() {
            assert_eq!(check(&example["payload"]), Ok(()), "{name}");
            assert_eq!(example["payload"]["type"], name.as_str());
        }
    }
    let path = workspace::root().join("docs/events.md");
    let document = fs::read_to_string(path).unwrap_or_default();
    let examples: Vec<&str> = document
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        let event = serde_json::from_str(example).unwrap_or_default();
        assert_eq!(check(&event), Ok(()), "docs/events.md: {example}");
    }
}
