//! The metrics that alerts and the dashboard ask for exist.

use std::collections::BTreeSet;
use std::fs;

use e2e::database::Database;
use e2e::flow::wait_until_settled;
use e2e::gauges;
use e2e::shared_stack;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};
use stack::{net, workspace};

/// The names in `k8s/monitoring` that begin like this.
fn asked_for(beginning: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in ["alerts.yaml", "dashboard.json"] {
        let path = workspace::root().join("k8s/monitoring").join(file);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => panic!("{}: {error}", path.display()),
        };
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.extend(
            words
                .filter(|word| word.starts_with(beginning))
                .map(str::to_owned),
        );
    }
    assert!(names.len() > 2, "{names:?}");
    names
}

#[test]
fn the_sidecar_has_the_metrics_that_are_asked_of_it() {
    let todo = TestUser::random();
    todo.created("t");
    wait_until_settled(&todo, Limit::DELIVERY);
    let url = format!("{}/metrics", shared_stack().dapr_metrics_url);
    until("metrics", Limit::SOON, || {
        let metrics = net::get(&url, &[]).map_err(|error| format!("{error:#}"))?;
        let mut missing = asked_for("dapr_");
        for line in metrics.lines() {
            if let Some((name, labels)) = line.split_once('{')
                && labels.contains("app_id=\"todo-events\"")
            {
                missing.remove(name);
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("missing: {missing:?}"))
        }
    });
}

#[test]
fn the_database_has_the_gauges_that_are_asked_of_it() {
    let gauges = gauges::read(&mut Database::of(shared_stack()));
    let names: BTreeSet<String> = gauges
        .keys()
        .filter_map(|gauge| gauge.split('{').next())
        .map(str::to_owned)
        .collect();
    let asked_for = asked_for("cnpg_todo_events_");
    assert!(asked_for.is_subset(&names), "{asked_for:?}\n{names:?}");
    // A metric that nothing uses need not be collected.
    let unused: Vec<_> = names.difference(&asked_for).collect();
    assert!(unused.is_empty(), "{unused:?}");
}
