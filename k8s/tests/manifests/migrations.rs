//! Migrations do not hold up the service that goes on meanwhile.

use std::fs;

use crate::layer::{file, file_text};

/// The first that has to keep the rules.
const FIRST: &str = "0007";

/// Each migration from [`FIRST`] on: its name and its statements, without comments.
fn migrations() -> Vec<(String, String)> {
    let entries = fs::read_dir(file("migrations")).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    names
        .filter(|name| name.ends_with(".sql") && name.as_str() >= FIRST)
        .map(|name| {
            let statements = file_text(&format!("migrations/{name}"));
            let statements = statements.lines().filter(|line| !line.starts_with("--"));
            let statements = statements.collect::<Vec<_>>().join("\n");
            (name, statements)
        })
        .collect()
}

#[test]
fn no_migration_waits_long_for_a_lock() {
    assert!(!migrations().is_empty());
    for (name, statements) in migrations() {
        // A file is one transaction, in which no index is made concurrently: such a statement stands alone.
        let alone = statements.trim().matches(';').count() == 1;
        assert_eq!(statements.contains(" CONCURRENTLY "), alone, "{name}");
        let first = statements.trim().lines().next().unwrap_or_default();
        assert!(
            alone || first.starts_with("SET lock_timeout = "),
            "{name} does not begin with SET lock_timeout"
        );
    }
}

#[test]
fn no_migration_reads_a_table_under_its_lock_to_check_it() {
    for (name, statements) in migrations() {
        for statement in statements.split(';') {
            let checks = ["ADD CHECK", "ADD FOREIGN KEY", "ADD CONSTRAINT"];
            let checks = checks.iter().any(|check| statement.contains(check))
                && !statement.contains("UNIQUE")
                && !statement.contains("PRIMARY KEY");
            assert!(
                !checks || statement.contains("NOT VALID"),
                "{name}: {statement}"
            );
        }
    }
}
