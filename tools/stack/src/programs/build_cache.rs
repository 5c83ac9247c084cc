//! What is built or installed once, and kept in the cache until what it is made of changes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::report::Report;
use crate::{process, workspace};

/// What was built and is unused for this long is removed: a build is some 200 MB.
const KEPT_UNUSED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The folder of what `build` makes of `tools/<tool>`: kept from before, or made now. `build` gets
/// the sources' folder and the one to fill. The Go compiler counts as a source.
///
/// # Errors
/// When the build fails, or Go is missing.
pub fn get(
    tool: &str,
    what: &str,
    report: &Report,
    build: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let sources = workspace::root().join("tools").join(tool);
    let mut version = Command::new("go");
    version.arg("version").current_dir(&sources);
    let version =
        process::read(version, Duration::from_secs(300)).context("Go 1.26 or later is needed")?;

    let name = key(&sources, &version)?;
    kept(&name, tool, |folder| {
        report.step(format!("building {what} (minutes the first time)"));
        build(&sources, folder)?;
        report.step(format!("built {what}"));
        Ok(())
    })
}

/// The folder of that name in the cache: kept from before, or made now by `make`, which gets the folder to fill. One at a
/// time for each `tool`.
pub(crate) fn kept(
    name: &str,
    tool: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let tools = workspace::cache()?.join("tools");
    let folder = tools.join(name);
    let _lock = workspace::lock(&tools.join(format!("{}.lock", tool.replace('/', "-"))))?;
    if folder.is_dir() {
        // So that it counts as used.
        File::open(&folder)?.set_modified(SystemTime::now())?;
        return Ok(folder);
    }
    let partial = tempfile::tempdir_in(&tools)?;
    make(partial.path())?;
    remove_unused(&tools);
    fs::rename(partial.keep(), &folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The start of a digest, for the name of a folder in the cache.
pub(crate) fn short(digest: Sha256) -> String {
    let digest = digest.finalize();
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Builds Go packages of the module in `sources` into the folder `bin` of `into`.
pub(crate) fn go_build(sources: &Path, into: &Path, packages: &[&str]) -> Result<()> {
    process::run(go_command(sources, into, packages)?)
}

/// As [`go_build`], but into programs that need no library: for images.
///
/// # Errors
/// When they do not compile.
pub fn go_build_static(sources: &Path, into: &Path, packages: &[&str]) -> Result<()> {
    let mut build = go_command(sources, into, packages)?;
    build.env("CGO_ENABLED", "0");
    process::run(build)
}

fn go_command(sources: &Path, into: &Path, packages: &[&str]) -> Result<Command> {
    let output = format!("{}/bin/", into.display());
    fs::create_dir_all(&output)?;
    let mut build = Command::new("go");
    build
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o", &output])
        .args(packages)
        .current_dir(sources);
    Ok(build)
}

/// A digest of everything that decides what the build makes.
fn key(sources: &Path, compiler: &str) -> Result<String> {
    let mut files = Vec::new();
    list_sources(sources, &mut files)?;
    files.sort();
    let mut digest = Sha256::new();
    digest.update(compiler);
    for file in files {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(sources).unwrap_or(&file).display();
        digest.update(format!("\n{name} {}\n", content.len()));
        digest.update(content);
    }
    Ok(short(digest))
}

fn list_sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            list_sources(&path, files)?;
        } else if (name.ends_with(".go") && !name.ends_with("_test.go"))
            || ["go.mod", "go.sum", "pom.xml"].contains(&name)
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Removes builds that no clone has used for long. What cannot be removed is left.
fn remove_unused(tools: &Path) {
    for entry in fs::read_dir(tools).into_iter().flatten().flatten() {
        let unused = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|modified| modified.elapsed().ok())
            .is_some_and(|unused| unused > KEPT_UNUSED);
        if unused && entry.path().is_dir() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
