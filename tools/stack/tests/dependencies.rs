//! What `deny.toml` says of dependencies, checked without a network: licences, sources and wildcards.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};
use stack::workspace;

/// Where all crates come from, in the words of Cargo.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(workspace::root())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?} (`cargo fetch --locked` gets what is missing): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The workspace's own packages and all that they depend on, on this platform.
fn packages() -> Vec<Value> {
    let version = output("rustc", &["-vV"]);
    let platform = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc says what it runs on");
    let metadata = output(
        "cargo",
        &[
            "metadata",
            "--offline",
            "--locked",
            "--format-version=1",
            "--filter-platform",
            platform,
        ],
    );
    let mut metadata: Value = serde_json::from_str(&metadata).unwrap();
    let Value::Array(packages) = metadata["packages"].take() else {
        panic!("no packages: {metadata}");
    };
    assert!(packages.len() > 100, "only {} packages", packages.len());
    packages
}

/// What `deny.toml` allows.
fn allowed() -> Vec<Licensee> {
    let rules = fs::read_to_string(workspace::root().join("deny.toml")).unwrap();
    let rules: toml::Table = rules.parse().unwrap();
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    allowed
        .iter()
        .map(|licence| Licensee::parse(licence.as_str().unwrap()).unwrap())
        .collect()
}

/// Whether a package may be used under one of the licences that are allowed.
fn is_allowed(package: &Value, allowed: &[Licensee]) -> bool {
    let Some(licence) = package["license"].as_str() else {
        // Only the text of the licence.
        return licence_text(package).is_some_and(|text| {
            text.contains("Apache License") && text.contains("Version 2.0, January 2004")
        });
    };
    let expression = Expression::parse_mode(licence, ParseMode::LAX)
        .unwrap_or_else(|error| panic!("{licence} of {}: {error}", package["name"]));
    expression.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)))
}

fn licence_text(package: &Value) -> Option<String> {
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
    fs::read_to_string(folder.join(package["license_file"].as_str()?)).ok()
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = allowed();
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !is_allowed(package, &allowed))
        .map(|package| {
            format!(
                "{} {}: {}",
                package["name"], package["version"], package["license"]
            )
        })
        .collect();
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn a_licence_that_is_not_allowed_is_refused() {
    let allowed = allowed();
    for (licence, expected) in [
        ("MIT", true),
        ("GPL-3.0-only OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only", false),
        ("MIT AND GPL-3.0-only", false),
        ("AGPL-3.0-or-later", false),
    ] {
        let package = serde_json::json!({"name": "x", "license": licence});
        assert_eq!(is_allowed(&package, &allowed), expected, "{licence}");
    }
    let unnamed = serde_json::json!({"name": "x", "license": null});
    assert!(!is_allowed(&unnamed, &allowed));
}

#[test]
fn every_dependency_comes_from_crates_io_in_a_version_that_is_named() {
    for package in packages() {
        let name = &package["name"];
        match package["source"].as_str() {
            Some(source) => assert_eq!(source, CRATES_IO, "{name}"),
            None => {
                for dependency in package["dependencies"].as_array().unwrap() {
                    let is_ours = dependency["path"].is_string();
                    assert!(
                        is_ours || dependency["req"] != "*",
                        "{name} takes any version of {}",
                        dependency["name"]
                    );
                }
            }
        }
    }
}
