//! A property of `PATCH`: it changes the writable fields as RFC 7396 says, puts defaults in the place of removed
//! values, and reports exactly the changes.

use e2e::test_user::{TestUser, string_member};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

/// RFC 7396 section 2, for an object whose members are no objects themselves.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            target.insert(name.clone(), value.clone());
        }
    }
}

/// The writable fields of a task as a document in which a field at its default is absent.
fn document(task: &Value) -> Map<String, Value> {
    let defaults = [
        ("title", Value::Null),
        ("description", Value::Null),
        ("priority", json!("medium")),
        ("tags", json!([])),
        ("due_date", Value::Null),
        ("timezone", json!("UTC")),
        ("is_recurring", json!(false)),
        ("recurring_interval", Value::Null),
    ];
    let present = defaults
        .into_iter()
        .filter(|(name, default)| task[*name] != *default);
    present
        .map(|(name, _)| (name.to_owned(), task[name].clone()))
        .collect()
}

/// Values of few kinds, so that patches often set what is already there.
fn patch() -> impl Strategy<Value = Map<String, Value>> {
    let member = |name: &'static str, values: Vec<Value>| {
        let value = prop_oneof![2 => Just(None), 1 => Just(Some(Value::Null)), 4 => prop::sample::select(values).prop_map(Some)];
        value.prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    };
    let zones = vec![
        json!("UTC"),
        json!("Europe/Berlin"),
        json!("Pacific/Kiritimati"),
    ];
    (
        // A title cannot be removed.
        prop::option::of(prop::sample::select(vec!["a", "b"]))
            .prop_map(|title| title.map(|title| ("title".to_owned(), json!(title)))),
        member("description", vec![json!("d"), json!("")]),
        member(
            "priority",
            vec![json!("low"), json!("medium"), json!("high")],
        ),
        member(
            "tags",
            vec![
                json!([]),
                json!(["x"]),
                json!(["x", "y"]),
                json!(["y", "x"]),
            ],
        ),
        member(
            "due_date",
            vec![
                json!("2030-01-31T23:30:00.000000Z"),
                json!("2030-02-01T12:00:00.500000Z"),
            ],
        ),
        member("timezone", zones),
        member("is_recurring", vec![json!(true), json!(false)]),
        member("recurring_interval", vec![json!("daily"), json!("monthly")]),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| {
            [a, b, c, d, e, f, g, h].into_iter().flatten().collect()
        })
}

fn recurs_consistently(document: &Map<String, Value>) -> bool {
    let recurs = document.get("is_recurring") == Some(&json!(true));
    recurs == document.contains_key("recurring_interval")
}

/// A value at its default and an absent one are the same.
fn without_defaults(document: &Map<String, Value>) -> Map<String, Value> {
    self::document(&Value::Object(
        [
            ("priority", json!("medium")),
            ("tags", json!([])),
            ("timezone", json!("UTC")),
            ("is_recurring", json!(false)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(document.clone())
        .collect(),
    ))
}

fn follows_the_model(patches: Vec<Map<String, Value>>) -> Result<(), TestCaseError> {
    let todo = TestUser::random();
    let mut task = todo.created("a");
    let id = string_member(&task, "id").to_owned();
    let mut model = document(&task);
    let mut changes: Vec<Value> = Vec::new();
    for patch in patches {
        let mut next = model.clone();
        merge(&mut next, &patch);
        let next = without_defaults(&next);
        let answer = todo.patch(&id, Value::Object(patch.clone()));
        if !recurs_consistently(&next) {
            prop_assert_eq!(answer.violations(), ["/recurring_interval"]);
            continue;
        }
        let answered = answer.task(200);
        prop_assert_eq!(&document(&answered), &next, "{:?}", patch);
        let changed = next != model;
        let version = task["version"].as_i64().unwrap_or_default() + i64::from(changed);
        prop_assert_eq!(answered["version"].as_i64(), Some(version), "{:?}", patch);
        if changed {
            let differs = |name: &&str| task[*name] != answered[*name];
            let fields: Vec<&str> = [
                "anchor_day",
                "description",
                "due_date",
                "is_recurring",
                "priority",
                "recurrence",
                "recurring_interval",
                "tags",
                "timezone",
                "title",
            ]
            .into_iter()
            .filter(differs)
            .collect();
            changes.push(json!(fields));
        } else {
            prop_assert_eq!(&answered, &task, "{:?}", patch);
        }
        (task, model) = (answered, next);
    }
    prop_assert_eq!(todo.get(&id).task(200), task);
    let events = todo.stored_events();
    let reported: Vec<Value> = events[1..]
        .iter()
        .map(|event| event["data"]["changed_fields"].clone())
        .collect();
    prop_assert_eq!(reported, changes);
    Ok(())
}

#[test]
fn any_sequence_of_patches_follows_rfc_7396() {
    let config = Config {
        cases: 16,
        max_shrink_iters: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let sequences = prop::collection::vec(patch(), 1..12);
    if let Err(error) = TestRunner::new(config).run(&sequences, follows_the_model) {
        panic!("{error}");
    }
}
