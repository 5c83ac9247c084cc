//! Versions are pinned, and said once, in k8s/README.md.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::layer::{Layer, file, file_text, scalar};
use crate::settings::manifest;

fn images(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| images(item, found)),
        Value::Object(fields) => {
            for (field, value) in fields {
                if ["image", "imageName", "spinImage"].contains(&field.as_str())
                    && value.is_string()
                {
                    found.insert(scalar(value));
                }
                images(value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_image_has_a_version_that_the_readme_says() {
    let document = file_text("k8s/README.md");
    for layer in Layer::all() {
        let mut found = BTreeSet::new();
        for object in layer.objects() {
            images(object.value, &mut found);
        }
        for image in found {
            let tag = image
                .rsplit('/')
                .next()
                .and_then(|name| name.split(':').nth(1));
            assert!(
                tag.is_some_and(|tag| tag != "latest"),
                "{}: {image} has no version",
                layer.name
            );
            assert!(
                document.contains(&format!("`{image}`")),
                "{}: k8s/README.md does not say {image}",
                layer.name
            );
        }
    }
}

#[test]
fn the_apps_version_is_the_applications() {
    let version = manifest()["application"]["version"]
        .as_str()
        .map(str::to_owned);
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        let image = app.text_at("/spec/image");
        let tag = image.rsplit(':').next().map(str::to_owned);
        assert_eq!(tag, version, "{}: {image}", app.place());
        let job = layer.beside("postgres").kind("Job")[0];
        let image = job.text_at("/spec/template/spec/containers/0/image");
        let tag = image.rsplit(':').next().map(str::to_owned);
        assert_eq!(tag, version, "{}: {image}", job.place());
    }
}

/// A commit cannot be moved to other code; a tag can.
#[test]
fn workflows_pin_their_actions_by_commit() {
    let mut actions = 0;
    for entry in fs::read_dir(file(".github/workflows"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = format!(".github/workflows/{}", entry.file_name().to_string_lossy());
        for line in file_text(&path).lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            let commit = action.split(['@', ' ']).nth(1).unwrap_or_default();
            let is_commit =
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit, "{path}: {action}");
            actions += 1;
        }
    }
    assert!(actions > 5, "{actions}");
}

/// What a release builds is what the manifests and the documents name.
#[test]
fn a_release_pushes_every_image_that_is_ours() {
    let workflow = file_text(".github/workflows/release.yml");
    let document = file_text("docs/releases.md");
    let version = manifest()["application"]["version"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for image in ["todo-events", "todo-migrations", "todo-operator"] {
        assert!(workflow.contains(image), "release.yml: {image}");
        let image = format!("ghcr.io/todo-events/{image}:{version}");
        for (path, text) in [
            ("docs/releases.md", &document),
            ("k8s/README.md", &file_text("k8s/README.md")),
        ] {
            assert!(text.contains(&format!("`{image}`")), "{path}: {image}");
        }
    }
}

/// The files are `<project>-<version>-<kind>.yaml`.
#[test]
fn definitions_are_of_the_versions_that_are_installed() {
    let document = file_text("k8s/README.md");
    let list = file_text("k8s/tests/crds/README.md");
    let mut files = 0;
    for entry in fs::read_dir(file("k8s/tests/crds"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".yaml") else {
            continue;
        };
        files += 1;
        assert!(
            list.contains(&format!("`{name}`")),
            "k8s/tests/crds/README.md does not list {name}"
        );
        let parts: Vec<&str> = stem.split('-').collect();
        let version = parts
            .get(parts.len().wrapping_sub(2))
            .copied()
            .unwrap_or_default();
        let version = version.trim_start_matches('v');
        assert!(
            document.contains(version),
            "k8s/README.md does not say version {version} of {name}"
        );
    }
    assert!(files > 15, "{files} definitions");
}
