//! Programs built from Go modules of the repository, and kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::report::Report;
use crate::{process, workspace};

/// Built programs unused for this long are removed: a build is some 200 MB.
const KEPT_UNUSED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Programs that are built together.
pub(crate) struct GoPrograms {
    /// Their names, for people.
    pub(crate) names: &'static str,
    /// The folder of their sources, in the repository.
    pub(crate) sources: &'static str,
    /// The modules in that folder.
    pub(crate) modules: &'static [GoModule],
}

/// A module and what to build of it.
pub(crate) struct GoModule {
    /// Its folder, within the sources.
    pub(crate) folder: &'static str,
    /// What `go build` is told besides where to put the programs; `tool` is all that `go.mod` lists as tools.
    pub(crate) arguments: &'static [&'static str],
}

impl GoPrograms {
    /// Builds them into the cache, keyed by their sources and the compiler, and returns the folder of the programs.
    pub(crate) fn build(&self, report: &Report) -> Result<PathBuf> {
        let names = self.names;
        let sources = workspace::root().join(self.sources);
        let mut version = Command::new("go");
        version.arg("version").current_dir(&sources);
        let version = process::read(version, Duration::from_secs(300))
            .context("Go 1.26 or later is needed")?;

        let tools = workspace::cache()?.join("tools");
        let folder = tools.join(key(&sources, &version)?);
        let programs = folder.join("bin");
        let _lock = workspace::lock(&tools.join("lock"))?;
        if programs.is_dir() {
            // So that it counts as used.
            File::open(&folder)?.set_modified(SystemTime::now())?;
            return Ok(programs);
        }
        report.step(format!(
            "building {names} with Go (minutes the first time)"
        ));
        let partial = tempfile::tempdir_in(&tools)?;
        let output = format!("{}/bin/", partial.path().display());
        fs::create_dir_all(&output)?;
        for module in self.modules {
            let mut build = Command::new("go");
            build
                .args(["build", "-trimpath", "-ldflags=-s -w", "-o", &output])
                .args(module.arguments)
                .current_dir(sources.join(module.folder));
            process::run(build)?;
        }
        remove_unused(&tools);
        fs::rename(partial.keep(), &folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        report.step(format!("{names} built"));
        Ok(programs)
    }
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
    let digest = digest.finalize();
    Ok(digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
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
            || name == "go.mod"
            || name == "go.sum"
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
