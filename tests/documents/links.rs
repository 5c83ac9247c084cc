//! Links within the repository.

use std::path::{Component, Path, PathBuf};

use stack::workspace;

use crate::markdown::Document;

#[test]
fn local_links_lead_to_files_and_headings_that_exist() {
    let mut broken = Vec::new();
    for document in Document::all() {
        for link in &document.links {
            if let Err(error) = follow(&document, link) {
                broken.push(format!("{}: {link}: {error}", document.path));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_broken_link_is_noticed() {
    let document = Document::parse("docs/events.md", "# Events\n");
    for good in [
        "#events",
        "../README.md",
        "https://example.org",
        "../xtask#xtask",
    ] {
        assert_eq!(follow(&document, good), Ok(()), "{good}");
    }
    for bad in [
        "#event",
        "README.md",
        "../xtask#nothing",
        "../../todo-events/README.md",
    ] {
        assert!(follow(&document, bad).is_err(), "{bad}");
    }
}

fn follow(document: &Document, link: &str) -> Result<(), String> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return Ok(());
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    if file.is_empty() {
        return find(&document.anchors, anchor);
    }
    let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
    let mut target = within_repository(&folder.join(file)).ok_or("outside of the repository")?;
    if !workspace::root().join(&target).exists() {
        return Err("there is no such file".to_owned());
    }
    if anchor.is_empty() {
        return Ok(());
    }
    if workspace::root().join(&target).is_dir() {
        target = target.join("README.md");
    }
    let target = target.to_str().ok_or("no text")?;
    find(&Document::read(target).anchors, anchor)
}

fn find(anchors: &[String], anchor: &str) -> Result<(), String> {
    match anchors.iter().any(|one| one == anchor) {
        true => Ok(()),
        false => Err(format!("no such heading among {anchors:?}")),
    }
}

/// The path without `..`, unless it leads out.
fn within_repository(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => clean.pop().then_some(())?,
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    Some(clean)
}
