//! `POST /api/{user_id}/tasks/batch`.

use std::thread;

use e2e::answer::Answer;
use e2e::flow::successor;
use e2e::lanes::change;
use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::unharmed::unchanged;

fn batch(todo: &TestUser, operations: &[Value]) -> Answer {
    let call = todo.call("POST", format!("{}/batch", todo.tasks_path()));
    call.json(&json!({"operations": operations})).send()
}

/// The results of a batch, one for each operation.
fn results(todo: &TestUser, operations: &[Value]) -> Vec<Value> {
    let answer = batch(todo, operations).expect(200).json();
    let results = answer["results"].as_array().cloned().unwrap_or_default();
    assert_eq!(results.len(), operations.len(), "{answer}");
    results
}

fn statuses(results: &[Value]) -> Vec<&Value> {
    results.iter().map(|result| &result["status"]).collect()
}

/// The problem in a result, and its place.
fn problem(result: &Value) -> (String, Vec<&str>) {
    let problem = &result["problem"];
    assert_eq!(problem["status"], result["status"], "{result}");
    let kind = string_member(problem, "type").trim_start_matches("urn:todo-events:problem:");
    let errors = problem["errors"].as_array().into_iter().flatten();
    (
        kind.to_owned(),
        errors
            .map(|error| string_member(error, "pointer"))
            .collect(),
    )
}

fn create(title: &str) -> Value {
    json!({"op": "create", "task": {"title": title}})
}

fn create_once(key: &str, title: &str) -> Value {
    json!({"op": "create", "task": {"title": title}, "idempotency_key": key})
}

fn step(name: &str, task: &Value) -> Value {
    json!({"op": name, "task_id": task["id"]})
}

#[test]
fn a_task_that_recurs_is_skipped_and_another_is_not() {
    let todo = TestUser::random();
    let daily =
        todo.created_with(json!({"title": "t", "recurrence": {"rule": "FREQ=DAILY;COUNT=2"}}));
    let once = todo.created("t");
    let results = results(
        &todo,
        &[
            step("skip", &daily),
            step("skip", &once),
            step("skip", &daily),
        ],
    );
    assert_eq!(statuses(&results), [200, 409, 200]);
    assert_eq!(problem(&results[1]), ("not-recurring".to_owned(), vec![]));
    assert_eq!(
        results[0]["task"]["skipped_at"],
        results[0]["task"]["updated_at"]
    );
    assert_eq!(results[2]["task"], results[0]["task"]);
    assert_eq!(successor(&todo, &daily)["occurrence"], 2);
}

#[test]
fn each_operation_has_its_result_in_order() {
    let todo = TestUser::random();
    let (first, second) = (todo.created("first"), todo.created("second"));
    let id = string_member(&first, "id");
    let results = results(
        &todo,
        &[
            create("third"),
            json!({"op": "update", "task_id": id, "patch": {"title": "changed"}, "version": 1}),
            json!({"op": "complete", "task_id": id, "version": 2}),
            step("complete", &first),
            step("reopen", &first),
            step("delete", &second),
        ],
    );
    assert_eq!(statuses(&results), [201, 200, 200, 200, 200, 204]);
    assert_eq!(results[5], json!({"status": 204}));
    // Two operations on one task act one after the other.
    let versions: Vec<&Value> = results[1..5]
        .iter()
        .map(|result| &result["task"]["version"])
        .collect();
    assert_eq!(versions, [2, 3, 3, 4]);
    assert_eq!(results[1]["task"]["title"], "changed");
    assert_eq!(results[3]["task"]["completed"], true);
    for result in [&results[0], &results[4]] {
        assert_eq!(
            todo.get(string_member(&result["task"], "id")).task(200),
            result["task"]
        );
    }
    todo.get(string_member(&second, "id"))
        .problem(404, "not-found");

    // Each change has its event, and no other has one.
    let published = todo.published_events();
    let told: Vec<(&str, &Value)> = published
        .iter()
        .map(|event| (string_member(event, "type"), &event["data"]["title"]))
        .collect();
    let expected = [
        ("task.created", "first"),
        ("task.created", "second"),
        ("task.created", "third"),
        ("task.updated", "changed"),
        ("task.completed", "changed"),
        ("task.updated", "changed"),
        ("task.deleted", "second"),
    ];
    assert!(
        told.iter()
            .zip(expected)
            .all(|(told, expected)| told.0 == expected.0 && *told.1 == expected.1),
        "{told:?}"
    );
    let numbers: Vec<&str> = published
        .iter()
        .map(|event| string_member(event, "sequence"))
        .collect();
    let expected: Vec<String> = (1..=7).map(|number| format!("{number:020}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn an_operation_that_is_refused_changes_nothing_and_stops_no_other() {
    let todo = TestUser::random();
    let task = todo.created("t");
    let strangers = TestUser::random().created("another's");
    let id = string_member(&task, "id");
    let refused = [
        json!({"op": "update", "task_id": id, "patch": {"title": "", "completed": true}}),
        json!({"op": "update", "task_id": id, "patch": {"title": "u"}, "version": 7}),
        json!({"op": "update", "task_id": id, "patch": {"is_recurring": true}}),
        json!({"op": "complete", "task_id": id, "version": 2}),
        json!({"op": "reopen", "task_id": id, "version": 2}),
        json!({"op": "delete", "task_id": id, "version": 2}),
        json!({"op": "complete", "task_id": Uuid::now_v7()}),
        step("delete", &strangers),
        json!({"op": "create", "task": {"title": "t", "tags": ["", "a,b"]}}),
        json!({"op": "create", "task": {"title": "t"}, "idempotency_key": "not visible"}),
        json!({"op": "archive", "task_id": id}),
        json!("complete"),
    ];
    unchanged(&todo, || {
        let results = results(&todo, &refused);
        let problems: Vec<(String, Vec<&str>)> = results.iter().map(problem).collect();
        let invalid = "invalid".to_owned();
        let stale = || ("precondition-failed".to_owned(), vec![]);
        let unknown = || ("not-found".to_owned(), vec![]);
        assert_eq!(
            problems,
            [
                (
                    invalid.clone(),
                    vec!["/operations/0/patch/title", "/operations/0/patch/completed"]
                ),
                stale(),
                (
                    invalid.clone(),
                    vec!["/operations/2/patch/recurring_interval"]
                ),
                stale(),
                stale(),
                stale(),
                unknown(),
                unknown(),
                (
                    invalid.clone(),
                    vec!["/operations/8/task/tags/0", "/operations/8/task/tags/1"]
                ),
                (invalid.clone(), vec!["/operations/9/idempotency_key"]),
                (invalid.clone(), vec!["/operations/10/op"]),
                (invalid, vec!["/operations/11"]),
            ]
        );
        assert_eq!(
            statuses(&results),
            [422, 412, 422, 412, 412, 412, 404, 404, 422, 422, 422, 422]
        );
    });

    let mut mixed = refused.to_vec();
    mixed.insert(6, create("before"));
    mixed.push(step("complete", &task));
    let results = results(&todo, &mixed);
    assert_eq!(results[6]["status"], 201);
    assert_eq!(results[13]["task"]["completed"], true);
    assert_eq!(todo.listed("").len(), 2);
    assert_eq!(todo.get(string_member(&strangers, "id")).status, 404);
}

#[test]
fn a_body_that_is_no_list_of_operations_is_refused_as_a_whole() {
    let todo = TestUser::random();
    let target = format!("{}/batch", todo.tasks_path());
    let valid = create("t");
    unchanged(&todo, || {
        for (body, places) in [
            (json!(null), [""].as_slice()),
            (json!([valid]), &[""]),
            (json!({}), &["/operations"]),
            (json!({"operations": []}), &["/operations"]),
            (
                json!({"operations": vec![valid.clone(); 101]}),
                &["/operations"],
            ),
            (json!({"operations": [valid], "atomic": true}), &["/atomic"]),
        ] {
            let answer = todo.call("POST", &target).json(&body).send();
            assert_eq!(answer.violations(), places, "{body}");
        }
        let call = todo.call("POST", &target).body("{\"operations\": [");
        call.send().problem(400, "bad-request");
        let large = json!({"operations": [create(&"x".repeat(65_536))]});
        todo.call("POST", &target)
            .json(&large)
            .send()
            .problem(413, "content-too-large");
        // One key for the whole batch would be a promise that the service cannot keep.
        let call = todo.call("POST", &target).header("idempotency-key", "key");
        let answer = call.json(&json!({"operations": [valid]})).send();
        assert_eq!(answer.violations(), ["Idempotency-Key"]);
        todo.call("GET", &target)
            .send()
            .problem(405, "method-not-allowed");
        let call = todo.call("POST", &target).authorization(None);
        call.send().problem(401, "unauthenticated");
    });
}

#[test]
fn as_many_operations_as_allowed_are_run_and_answered_in_order() {
    let todo = TestUser::random();
    let titles: Vec<String> = (0..100).map(|number| format!("task {number}")).collect();
    let creates: Vec<Value> = titles.iter().map(|title| create(title)).collect();
    let results = results(&todo, &creates);
    let created: Vec<&Value> = results
        .iter()
        .map(|result| &result["task"]["title"])
        .collect();
    assert_eq!(created, titles.iter().collect::<Vec<_>>());
    let listed = todo.listed("sort_by=created_at_asc&limit=200");
    let listed: Vec<&Value> = listed.iter().map(|task| &task["title"]).collect();
    assert_eq!(listed, created, "they were created in this order");
    let published = todo.published_events();
    let published: Vec<&Value> = published
        .iter()
        .map(|event| &event["data"]["title"])
        .collect();
    assert_eq!(published, created);
}

#[test]
fn a_batch_that_is_repeated_creates_nothing_twice() {
    let todo = TestUser::random();
    let operations = [
        create_once("a", "one"),
        create_once("b", "two"),
        create_once("a", "one"),
        create_once("a", "another"),
    ];
    let first = results(&todo, &operations);
    assert_eq!(statuses(&first), [201, 201, 201, 422]);
    assert_eq!(first[2], first[0], "the same key in one batch");
    assert_eq!(problem(&first[3]).0, "idempotency-key-reused");
    unchanged(&todo, || {
        assert_eq!(results(&todo, &operations), first);
        // The same key works in the header of a single create.
        assert_eq!(
            todo.create_once("b", json!({"title": "two"})).task(201),
            first[1]["task"]
        );
    });
    let task = todo.create_once("c", json!({"title": "three"})).task(201);
    unchanged(&todo, || {
        let again = results(&todo, &[create_once("c", "three"), create_once("c", "3")]);
        assert_eq!(again[0]["task"], task);
        assert_eq!(again[1]["status"], 422);
    });
}

#[test]
fn with_its_version_no_operation_takes_effect_twice() {
    let todo = TestUser::random();
    let (one, two) = (todo.created("one"), todo.created("two"));
    let operations = [
        json!({"op": "update", "task_id": one["id"], "patch": {"title": "1"}, "version": 1}),
        json!({"op": "complete", "task_id": one["id"], "version": 2}),
        json!({"op": "reopen", "task_id": one["id"], "version": 3}),
        json!({"op": "delete", "task_id": two["id"], "version": 1}),
    ];
    assert_eq!(statuses(&results(&todo, &operations)), [200, 200, 200, 204]);
    unchanged(&todo, || {
        assert_eq!(statuses(&results(&todo, &operations)), [412, 412, 412, 404]);
    });
}

#[test]
fn a_create_that_exceeds_the_number_of_tasks_leaves_its_key_free() {
    let todo = TestUser::random();
    let last = todo.created("the last");
    change(
        &todo,
        "UPDATE lanes SET tasks = most_tasks() WHERE user_id = $1",
    );
    let operations = [
        create_once("key", "one more"),
        step("delete", &last),
        create_once("key", "in its place"),
        create("one too many"),
    ];
    let results = results(&todo, &operations);
    assert_eq!(statuses(&results), [409, 204, 201, 409]);
    assert_eq!(problem(&results[0]).0, "too-many-tasks");
}

/// On the real service; that none waits for another is tried in `tests/database/batch.rs`.
#[test]
fn batches_in_opposite_orders_all_succeed() {
    let todo = TestUser::random();
    let tasks: Vec<Value> = (0..20)
        .map(|number| todo.created(&number.to_string()))
        .collect();
    let batches: Vec<Vec<Value>> = (0..6)
        .map(|number| {
            let mut operations: Vec<Value> = tasks
                .iter()
                .map(|task| json!({"op": "update", "task_id": task["id"], "patch": {"title": format!("by {number}")}}))
                .chain((0..5).map(|key| create_once(&format!("key-{key}"), "shared")))
                .collect();
            if number % 2 == 1 {
                operations.reverse();
            }
            operations
        })
        .collect();
    thread::scope(|scope| {
        let running: Vec<_> = batches
            .iter()
            .map(|operations| scope.spawn(|| results(&todo, operations)))
            .collect();
        for results in running {
            let results = results.join().unwrap_or_default();
            let is_done = |result: &&Value| result["status"] == 200 || result["status"] == 201;
            assert_eq!(results.iter().filter(is_done).count(), 25, "{results:?}");
        }
    });
    assert_eq!(todo.listed("q=shared").len(), 5);
    for task in &tasks {
        assert_eq!(todo.get(string_member(task, "id")).task(200)["version"], 7);
    }
    let events = todo.published_events();
    assert_eq!(events.len(), 20 + 6 * 20 + 5);
}
