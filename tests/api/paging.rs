//! Property of paging: whoever walks the pages sees every task whose sort key stays exactly once and in order, while
//! others come, change and go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use e2e::test_user::{TestUser, string_member};
use serde_json::{Value, json};

use crate::listing::{next_page, sorted};

/// Tasks that stay as they are.
const STEADY: usize = 30;

fn task(n: usize, title: &str) -> Value {
    let due = (!n.is_multiple_of(3)).then(|| format!("2030-01-{:02}T00:00:00Z", 1 + n * 7 % 20));
    let priority = ["low", "medium", "high"][n % 3];
    json!({"title": title, "due_date": due, "priority": priority})
}

/// Creates, changes, completes and deletes tasks until told to stop.
fn disturb(todo: &TestUser, seed: usize, stop: &AtomicBool) {
    let mut mine: Vec<String> = Vec::new();
    let mut n = seed;
    while !stop.load(Ordering::Relaxed) {
        n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let choice = n >> 33;
        match (choice % 4, mine.is_empty()) {
            (0, _) | (_, true) => {
                let created = todo.created_with(task(choice, "passing"));
                mine.push(string_member(&created, "id").to_owned());
            }
            (1, _) => {
                todo.delete(&mine.swap_remove(choice % mine.len()))
                    .expect(204);
            }
            _ => {
                let mut patch = task(choice / 4, "passing");
                patch["description"] = json!(choice.to_string());
                todo.patch(&mine[choice % mine.len()], patch).task(200);
            }
        }
    }
}

fn walk(todo: &TestUser, sort_by: &str, limit: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut target = Some(format!(
        "{}?sort_by={sort_by}&limit={limit}",
        todo.tasks_path()
    ));
    while let Some(page) = target {
        let answer = todo.call("GET", page).send().expect(200);
        found.extend(answer.json().as_array().cloned().unwrap_or_default());
        target = next_page(&answer);
        assert!(found.len() < 5_000, "{sort_by}: no end");
    }
    found
}

#[test]
fn tasks_that_stay_are_on_exactly_one_page() {
    let todo = TestUser::random();
    let mut steady: HashMap<String, Value> = HashMap::new();
    for n in 0..STEADY {
        // Passing tasks in between, so that the steady ones are not neighbours.
        let created = todo.created_with(task(n, "steady"));
        steady.insert(string_member(&created, "id").to_owned(), created);
        todo.created_with(task(n + 1, "never touched"));
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in [1, 2] {
            let (todo, stop) = (&todo, &stop);
            scope.spawn(move || disturb(todo, seed, stop));
        }
        // Stops the others also when an assertion fails.
        let _stop = StopOnDrop(&stop);
        for limit in [3, 10] {
            for sort_by in [
                "created_at_asc",
                "created_at_desc",
                "due_date_asc",
                "due_date_desc",
                "priority_asc",
                "priority_desc",
            ] {
                let seen = walk(&todo, sort_by, limit);
                let kept: Vec<Value> = seen
                    .into_iter()
                    .filter(|task| steady.contains_key(string_member(task, "id")))
                    .collect();
                let expected = sorted(steady.values().cloned().collect(), sort_by);
                assert_eq!(kept, expected, "{sort_by}, {limit} a page");
            }
        }
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
