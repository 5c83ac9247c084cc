//! Bodies of batches: examples and properties.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::violation::Location;

const ID: &str = "018f0000-0000-7000-8000-000000000000";

fn pointers(violations: &[Violation]) -> Vec<&str> {
    violations
        .iter()
        .map(|violation| match &violation.location {
            Location::Pointer(pointer) => pointer.as_str(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn parsed(operation: Value) -> Result<Operation, Vec<Violation>> {
    parse_batch(json!({"operations": [operation]}))
        .unwrap()
        .remove(0)
}

#[test]
fn each_operation_is_read() {
    let task = Uuid::parse_str(ID).unwrap();
    let Operation::Create { task: created, key } =
        parsed(json!({"op": "create", "task": {"title": "t"}, "idempotency_key": "k"})).unwrap()
    else {
        panic!("no create");
    };
    assert_eq!(Ok(*created), parse_new_task(json!({"title": "t"})));
    assert_eq!(key, IdempotencyKey::try_from("k").ok());
    let patch = parse_task_patch(json!({"title": "u"})).unwrap();
    assert_eq!(
        parsed(json!({"op": "update", "task_id": ID, "patch": {"title": "u"}, "version": 3})),
        Ok(Operation::Update {
            task,
            patch,
            version: Some(3)
        })
    );
    for step in Step::ALL {
        assert_eq!(
            parsed(json!({"op": step.as_str(), "task_id": ID, "version": null})),
            Ok(Operation::Step {
                step,
                task,
                version: None
            })
        );
    }
}

#[test]
fn what_is_no_list_of_operations_is_refused_as_a_whole() {
    let one = json!({"op": "complete", "task_id": ID});
    for (body, places) in [
        (json!([]), [""].as_slice()),
        (json!({}), &["/operations"]),
        (json!({"operations": null}), &["/operations"]),
        (json!({"operations": []}), &["/operations"]),
        (json!({"operations": {"0": one}}), &["/operations"]),
        (
            json!({"operations": vec![one.clone(); MOST_OPERATIONS + 1]}),
            &["/operations"],
        ),
        (json!({"operations": [one], "a/b": 1}), &["/a~1b"]),
        (json!({"atomic": true}), &["/operations", "/atomic"]),
    ] {
        assert_eq!(
            pointers(&parse_batch(body.clone()).unwrap_err()),
            places,
            "{body}"
        );
    }
    let most = json!({"operations": vec![one; MOST_OPERATIONS]});
    assert_eq!(parse_batch(most).unwrap().len(), MOST_OPERATIONS);
}

#[test]
fn each_mistake_of_an_operation_is_named_under_its_number() {
    for (operation, places) in [
        (json!(1), ["/operations/0"].as_slice()),
        (json!({}), &["/operations/0/op"]),
        (
            json!({"op": "archive", "task_id": ID}),
            &["/operations/0/op"],
        ),
        (json!({"op": 1}), &["/operations/0/op"]),
        (json!({"op": "create"}), &["/operations/0/task"]),
        (
            json!({"op": "create", "task": "t"}),
            &["/operations/0/task"],
        ),
        (
            json!({"op": "create", "task": {"title": "", "a/b": 1, "tags": [""]}}),
            &[
                "/operations/0/task/title",
                "/operations/0/task/tags/0",
                "/operations/0/task/a~1b",
            ],
        ),
        (
            json!({"op": "create", "task": {"title": "t"}, "idempotency_key": "", "task_id": ID, "version": 1}),
            &[
                "/operations/0/idempotency_key",
                "/operations/0/task_id",
                "/operations/0/version",
            ],
        ),
        (
            json!({"op": "create", "task": {"title": "t"}, "idempotency_key": 7}),
            &["/operations/0/idempotency_key"],
        ),
        (
            json!({"op": "update", "task_id": ID}),
            &["/operations/0/patch"],
        ),
        (
            json!({"op": "update", "task_id": ID, "patch": {"completed": true}}),
            &["/operations/0/patch/completed"],
        ),
        (
            json!({"op": "update", "patch": {}}),
            &["/operations/0/task_id"],
        ),
        (json!({"op": "complete"}), &["/operations/0/task_id"]),
        (
            json!({"op": "complete", "task_id": 7}),
            &["/operations/0/task_id"],
        ),
        (
            json!({"op": "complete", "task_id": ID.replace('-', "")}),
            &["/operations/0/task_id"],
        ),
        (
            json!({"op": "delete", "task_id": ID, "version": 0}),
            &["/operations/0/version"],
        ),
        (
            json!({"op": "delete", "task_id": ID, "version": "1"}),
            &["/operations/0/version"],
        ),
        (
            json!({"op": "delete", "task_id": ID, "version": 1.5}),
            &["/operations/0/version"],
        ),
        (
            json!({"op": "reopen", "task_id": ID, "patch": {}}),
            &["/operations/0/patch"],
        ),
    ] {
        assert_eq!(
            pointers(&parsed(operation.clone()).unwrap_err()),
            places,
            "{operation}"
        );
    }
}

#[test]
fn an_operation_that_is_not_valid_leaves_the_others() {
    let good = json!({"op": "complete", "task_id": ID});
    let read = parse_batch(json!({"operations": [good, {"op": "?"}, good]})).unwrap();
    let valid: Vec<bool> = read.iter().map(Result::is_ok).collect();
    assert_eq!(valid, [true, false, true]);
    assert_eq!(
        pointers(read[1].as_ref().unwrap_err()),
        ["/operations/1/op"]
    );
}

#[test]
fn every_listed_operation_name_is_accepted() {
    for name in names() {
        assert!(Kind::named(name).is_some(), "{name}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z~/é]{0,4}".prop_map(Value::from),
        Just(json!(ID)),
        prop::sample::select(names().collect::<Vec<_>>()).prop_map(Value::from),
    ];
    let member = prop_oneof![
        prop::sample::select(vec![
            "op",
            "operations",
            "task",
            "task_id",
            "patch",
            "version",
            "idempotency_key",
            "title",
            "tags",
            "due_date",
        ])
        .prop_map(str::to_owned),
        "[a-z~/]{0,3}",
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(member.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn each_operation_of_any_batch_has_its_answer(operations in prop::collection::vec(any_json(), 1..8)) {
        let body = json!({"operations": operations});
        let read = parse_batch(body.clone()).unwrap();
        prop_assert_eq!(read.len(), operations.len());
        for (number, operation) in read.iter().enumerate() {
            let Err(violations) = operation else { continue };
            prop_assert!(!violations.is_empty());
            prop_assert!(violations.len() <= 3 * MOST_VIOLATIONS, "{}", violations.len());
            for place in pointers(violations) {
                prop_assert!(place.starts_with(&pointer(number)), "{}", place);
                // Each pointer names a member that is there, or one missing in an object that is there.
                let (around, _) = place.rsplit_once('/').unwrap();
                prop_assert!(body.pointer(around).is_some(), "{} in {}", place, body);
            }
        }
    }
}
