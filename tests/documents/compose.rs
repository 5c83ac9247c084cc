//! `docker-compose.kafka.yml`, as Docker Compose's own library reads it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use stack::{process, workspace};

const FILE: &str = "docker-compose.kafka.yml";

/// What the file takes from the environment.
const TOKEN: &str = "SPIN_VARIABLE_APP_API_TOKEN";

/// How long building the command may take, the first time.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn the_compose_file_is_valid() {
    let project = match load(&workspace::root().join(FILE)) {
        Ok(project) => project,
        Err(error) => panic!("{error}"),
    };
    let services = project["services"].as_object().expect("services");
    for part in ["kafka", "postgres", "scheduler", "sidecar"] {
        assert!(services.contains_key(part), "there is no {part}");
    }
    for (name, service) in services {
        let image = service["image"].as_str().unwrap_or_default();
        let version = image.rsplit_once(':').map_or("", |(_, version)| version);
        assert!(
            version.contains('.') && version.contains(|c: char| c.is_ascii_digit()),
            "{name}: {image:?} names no exact version"
        );
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = Path::new(volume["source"].as_str().unwrap_or_default());
            let is_file = volume["type"] == "bind";
            assert!(
                !is_file || source.exists(),
                "{name}: there is no {source:?}"
            );
        }
    }
}

#[test]
fn a_broken_compose_file_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = fs::read_to_string(workspace::root().join(FILE)).expect("a file");
    for (part, broken, complaint) in [
        ("healthcheck:", "healthchecks:", "healthchecks"),
        (
            "      kafka:\n        condition",
            "      cafka:\n        condition",
            "cafka",
        ),
        (
            "volumes:\n  kafka:\n",
            "volumes:\n",
            "undefined volume kafka",
        ),
        (TOKEN, "TODO_EVENTS_NOT_SET", "TODO_EVENTS_NOT_SET"),
    ] {
        let path = folder.path().join("compose.yml");
        let text = good.replace(part, broken);
        assert_ne!(text, good, "{part:?} is not in {FILE}");
        fs::write(&path, text).expect("a file can be written");
        let error = load(&path).expect_err(broken);
        assert!(error.contains(complaint), "{error}");
    }
}

/// Its normal form, in which paths are absolute.
fn load(path: &Path) -> Result<Value, String> {
    let mut command = Command::new("go");
    command
        .args(["run", "."])
        .arg(path)
        .env(TOKEN, "anything")
        .current_dir(workspace::root().join("tools/compose"));
    let json = process::read(command, LIMIT).map_err(|error| format!("{error:#}"))?;
    serde_json::from_str(&json).map_err(|error| error.to_string())
}
