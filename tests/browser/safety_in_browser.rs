//! What the page never does, whatever it is given, and what it is made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::test_user::TestUser;
use stack::workspace;

use crate::story::{browser, tell};

/// The page's own files and those of libraries, in the repository.
fn page() -> PathBuf {
    workspace::root().join("components/web/static/app")
}

fn read(path: &Path) -> Vec<u8> {
    match fs::read(path) {
        Ok(content) => content,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// All files below a folder, by their paths from there.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) => panic!("{}: {error}", next.display()),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(folder) {
                found.insert(name.display().to_string());
            }
        }
    }
    found
}

#[test]
fn texts_that_try_to_run_scripts_are_shown_as_they_are() {
    tell("inert", &TestUser::random());
}

/// npm has installed the package of the lock file, whose hash it has checked.
#[test]
fn vendored_files_are_what_the_registry_has() {
    let vendor = page().join("vendor");
    let folders = fs::read_dir(&vendor).into_iter().flatten().flatten();
    let mut count = 0;
    for folder in folders.map(|entry| entry.path()) {
        let folder_name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Some((package, version)) = folder_name.rsplit_once('-') else {
            panic!("{folder_name}: a vendored folder is called NAME-VERSION");
        };
        let original = browser().packages.join("node_modules").join(package);
        let manifest: serde_json::Value =
            serde_json::from_slice(&read(&original.join("package.json"))).unwrap_or_default();
        assert_eq!(manifest["version"], version, "{package}");
        let names = files(&folder);
        assert!(names.contains("LICENSE"), "{folder_name}: {names:?}");
        for name in names {
            assert!(
                read(&folder.join(&name)) == read(&original.join(&name)),
                "{package} {version}: {name} is not the registry's"
            );
            count += 1;
        }
    }
    assert!(count > 1, "nothing is vendored");
}

#[test]
fn the_service_worker_keeps_every_file_of_the_page() {
    let worker = String::from_utf8_lossy(&read(&page().join("service-worker.js"))).into_owned();
    for name in files(&page()) {
        let is_kept = worker.contains(&format!("\"/app/{name}\""))
            || name
                .strip_prefix("vendor/lit-html-3.3.3/")
                .is_some_and(|name| worker.contains(&format!("\"{name}\"")));
        let is_needed = !["index.html", "service-worker.js"].contains(&name.as_str())
            && !name.ends_with("LICENSE");
        assert_eq!(is_kept, is_needed, "service-worker.js: {name}");
    }
}
