//! The app's variables: those of `spin.toml`, all that must be set, and as documented.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::layer::{Layer, file, file_text, folders, scalar};

/// `spin.toml`
pub fn manifest() -> toml::Table {
    match file_text("spin.toml").parse() {
        Ok(manifest) => manifest,
        Err(error) => panic!("spin.toml: {error}"),
    }
}

fn variables() -> BTreeMap<String, toml::Value> {
    let manifest = manifest();
    let variables = manifest["variables"].as_table().cloned();
    variables.into_iter().flatten().collect()
}

/// A variable's default.
pub fn default(variable: &str) -> String {
    match variables()
        .get(variable)
        .and_then(|each| each.get("default"))
    {
        Some(toml::Value::String(value)) => value.clone(),
        _ => panic!("spin.toml: {variable} has no default"),
    }
}

/// The pools of connections that one process has: of each component that connects to the database, and of the probes.
pub fn pools() -> u64 {
    let manifest = manifest();
    let components = manifest["component"].as_table().cloned();
    let mut pools = 1;
    for (id, component) in components.into_iter().flatten() {
        let variable = |name: &str| {
            component
                .get("variables")
                .and_then(|variables| variables.get(name))
                .and_then(toml::Value::as_str)
        };
        if variable("database_url").is_some() {
            // Two components of one name would share a pool.
            assert_eq!(variable("application_name"), Some(id.as_str()));
            pools += 1;
        }
    }
    pools
}

#[test]
fn no_statement_lasts_on_kubernetes_either() {
    for layer in Layer::named("postgres") {
        let cluster = layer.find("Cluster", "todo-events-db");
        let owner = cluster.text_at("/spec/bootstrap/initdb/owner");
        let statements = cluster
            .list("/spec/bootstrap/initdb/postInitApplicationSQL")
            .iter();
        let statements: Vec<String> = statements.map(scalar).collect();
        let document = file_text("docs/operations.md");
        for (setting, value) in stack::postgres_server::DATABASE_SETTINGS {
            let value = if value == "0" {
                value.to_owned()
            } else {
                format!("'{value}'")
            };
            let statement = format!("ALTER ROLE {owner} SET {setting} = {value}");
            assert!(
                statements.contains(&statement),
                "{}: {statement}",
                cluster.place()
            );
            assert!(
                document.contains(&statement),
                "docs/operations.md: {statement}"
            );
        }
    }
}

#[test]
fn no_statement_lasts_in_containers_either() {
    let compose: Value = match serde_saphyr::from_str(&file_text("docker-compose.kafka.yml")) {
        Ok(compose) => compose,
        Err(error) => panic!("docker-compose.kafka.yml: {error}"),
    };
    let command = compose["services"]["postgres"]["command"].as_array();
    let arguments: Vec<String> = command.into_iter().flatten().map(scalar).collect();
    for (setting, value) in stack::postgres_server::DATABASE_SETTINGS {
        let argument = format!("-c{setting}={value}");
        assert!(arguments.contains(&argument), "{argument}: {arguments:?}");
    }
    // As many as a process may hold, and some for people.
    let connections = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("-cmax_connections="));
    let connections: u64 = connections.unwrap_or_default().parse().unwrap_or_default();
    assert!(connections > pools() * 64 + 20, "{connections}");
}

/// Where a pooler makes one prepared statement of everybody's, a plan must not be everybody's too.
#[test]
fn behind_a_pooler_each_list_is_planned_for_its_user() {
    let statement = "SET plan_cache_mode = force_custom_plan";
    for layer in Layer::named("postgres") {
        let cluster = layer.find("Cluster", "todo-events-db");
        let owner = cluster.text_at("/spec/bootstrap/initdb/owner");
        let expected = format!("ALTER ROLE {owner} {statement}");
        let statements = cluster.list("/spec/bootstrap/initdb/postInitApplicationSQL");
        let found = statements.iter().any(|each| scalar(each) == expected);
        assert!(found, "{}: {expected}", cluster.place());
    }
    // But for what changes something: its plans are kept, for they cost more than its work.
    for (file, functions) in [
        (
            "tasks.sql",
            &[
                "create_task",
                "update_task",
                "complete_task",
                "delete_task",
                "create_successor",
            ][..],
        ),
        (
            "reminders.sql",
            &["apply_reminders", "ring_reminder", "notify_user"],
        ),
    ] {
        let definitions = file_text(&format!("migrations/functions/{file}"));
        for function in functions {
            let start = format!("CREATE OR REPLACE FUNCTION {function}(");
            let definition = definitions.split(&start).nth(1).unwrap_or_default();
            let head = definition.split("AS $$").next().unwrap_or_default();
            assert!(
                head.contains("SET plan_cache_mode = auto"),
                "{function}: {head}"
            );
        }
    }
}

#[test]
fn the_app_is_given_variables_that_it_knows_and_all_that_it_needs() {
    let known = variables();
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        let given = app.list("/spec/variables");
        let place = app.place();
        // The kubelet puts in the value of a variable that was declared before.
        let mut before: Vec<String> = Vec::new();
        let mut used = BTreeSet::new();
        for variable in given {
            let value = scalar(&variable["value"]);
            for part in value.split("$(SPIN_VARIABLE_").skip(1) {
                let name = part.split(')').next().unwrap_or_default().to_lowercase();
                assert!(
                    before.contains(&name),
                    "{place}: {} uses {name}, which is not before it",
                    variable["name"]
                );
                used.insert(name);
            }
            before.push(scalar(&variable["name"]));
        }
        for name in &before {
            assert!(
                known.contains_key(name) || used.contains(name),
                "{place}: spin.toml has no variable {name}"
            );
            assert_eq!(
                before.iter().filter(|each| *each == name).count(),
                1,
                "{place}: {name} twice"
            );
            // On the shim, a Service's environment variables of such names would win.
            for end in ["_port", "_host", "_service"] {
                assert!(!name.ends_with(end), "{place}: {name}");
            }
        }
        for (name, variable) in &known {
            let required = variable.get("required").is_some();
            assert!(
                !required || before.contains(name),
                "{place}: {name} is required"
            );
        }
    }
}

#[test]
fn secrets_are_given_from_secrets() {
    let known = variables();
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        for variable in app.list("/spec/variables") {
            let name = scalar(&variable["name"]);
            let secret = known
                .get(&name)
                .is_some_and(|each| each.get("secret").is_some());
            let from_secret = variable.pointer("/valueFrom/secretKeyRef").is_some()
                || scalar(&variable["value"]).contains("$(SPIN_VARIABLE_DATABASE_PASSWORD)");
            assert!(
                !secret || from_secret,
                "{}: {name} is a secret",
                app.place()
            );
        }
    }
}

#[test]
fn every_variable_is_documented() {
    let document = file_text("docs/operations.md");
    let documented: BTreeSet<String> = document
        .lines()
        .skip_while(|line| *line != "## Settings")
        .take_while(|line| *line != "## Logs")
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let known: BTreeSet<String> = variables().into_keys().collect();
    assert_eq!(documented, known, "docs/operations.md, spin.toml");
}

#[test]
fn components_are_named_after_their_folders() {
    let manifest = manifest();
    let components = manifest["component"]
        .as_table()
        .cloned()
        .unwrap_or_default();
    let ids: BTreeSet<&str> = components.keys().map(String::as_str).collect();
    let folders = folders(&file("components"));
    // The calendar is joined to those that use it.
    let expected = folders
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "calendar");
    assert_eq!(ids, expected.collect(), "spin.toml");
    for (id, component) in &components {
        let source = component["source"].as_str().unwrap_or_default();
        assert!(
            source.ends_with(&format!("/{}.wasm", id.replace('-', "_"))),
            "spin.toml: {id}"
        );
        let known = variables();
        for variable in component
            .get("variables")
            .and_then(toml::Value::as_table)
            .cloned()
            .unwrap_or_default()
            .into_iter()
            // One without a template is a constant of the component.
            .filter(|(_, value)| value.as_str().is_none_or(|value| value.contains("{{")))
            .map(|(variable, _)| variable)
        {
            assert!(
                known.contains_key(&variable),
                "spin.toml: {id} gets {variable}"
            );
        }
    }
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        // All of them run.
        assert_eq!(
            app.value.pointer("/spec/components"),
            None::<&Value>,
            "{}",
            app.place()
        );
    }
}
