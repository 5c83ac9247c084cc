//! The components of the version before this one: of the commit before the last migration was added. They are compiled once for
//! each such commit, and kept beside the cluster's folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use stack::programs::cargo::Cargo;
use stack::programs::wasm_target::{self, TARGET};
use stack::report::Report;
use stack::{process, workspace};

/// The tag of its image.
pub const VERSION: &str = "0.0.9";

/// Whether it is there.
#[derive(Clone, Serialize, Deserialize)]
pub enum Before {
    /// Compiling it takes minutes, so it is compiled only for the story that tells of it.
    NotWanted,
    /// And why.
    NotToBeHad(String),
    /// A folder with its `spin.toml` and what that names; and its commit.
    Built { folder: PathBuf, commit: String },
}

impl Before {
    pub fn build(report: &Report) -> Result<Self> {
        let commit = match commit() {
            Ok(commit) => commit,
            Err(why) => return Ok(Self::NotToBeHad(format!("{why:#}"))),
        };
        let folder = workspace::state_dir().join(format!("before-{commit}"));
        let app = folder.join("app");
        if !app.is_dir() {
            report.step(format!("compiling the components of {commit}"));
            let (source, target, made) = (
                folder.join("source"),
                folder.join("target"),
                folder.join("made"),
            );
            unpack(&commit, &source)?;
            compile(&source, &target, report)?;
            collect(&source, &target, &made)?;
            fs::rename(&made, &app)?;
            fs::remove_dir_all(&source)?;
            fs::remove_dir_all(&target)?;
            report.step(format!("the components of {commit} are compiled"));
        }
        Ok(Self::Built {
            folder: app,
            commit,
        })
    }
}

/// The commit before the one that added the last migration.
fn commit() -> Result<String> {
    let migrations = fs::read_dir(workspace::root().join("migrations"))?;
    let names = migrations
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let last = names
        .filter(|name| name.ends_with(".up.sql"))
        .max()
        .context("there are no migrations")?;
    let file = format!("migrations/{last}");
    let added = git(&["log", "--diff-filter=A", "--format=%H", "--", &file])?;
    let Some(added) = added.lines().last() else {
        bail!("{last} is in no commit");
    };
    git(&[
        "rev-parse",
        "--verify",
        "--quiet",
        "--short",
        &format!("{added}^"),
    ])
    .with_context(|| format!("this clone's history does not reach back to before {last}"))
}

fn git(arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(workspace::root());
    process::read(git, Duration::from_secs(60))
}

fn unpack(commit: &str, into: &Path) -> Result<()> {
    if into.exists() {
        fs::remove_dir_all(into)?;
    }
    fs::create_dir_all(into)?;
    let archive = tempfile::NamedTempFile::new()?;
    let path = archive.path().display().to_string();
    git(&["archive", "--format=tar", "--output", &path, commit])?;
    tar::Archive::new(archive.reopen()?)
        .unpack(into)
        .context("cannot unpack the commit")
}

/// As its components are compiled, in a target folder of its own: cargo would take its crates for those of this version.
fn compile(source: &Path, target: &Path, report: &Report) -> Result<()> {
    let toolchain = wasm_target::prepare(report)?;
    let mut command = toolchain.build_command(target);
    Cargo::quieten(&mut command);
    for entry in fs::read_dir(source.join("components"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            command.arg("--package").arg(entry.file_name());
        }
    }
    command.current_dir(source);
    process::run(command)
}

/// The manifest, and the components where it expects them.
fn collect(source: &Path, target: &Path, app: &Path) -> Result<()> {
    let place = app.join("target").join(TARGET).join("release");
    fs::create_dir_all(&place)?;
    fs::copy(source.join("spin.toml"), app.join("spin.toml"))?;
    for entry in fs::read_dir(target.join(TARGET).join("release"))? {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            fs::copy(entry.path(), place.join(entry.file_name()))?;
        }
    }
    Ok(())
}
