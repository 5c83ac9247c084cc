//! `build`: runs the components' build commands as Spin does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::manifest::Manifest;

/// `[component.<id>.build]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that exactly Spin's fields are accepted")]
pub struct Build {
    command: Commands,
    workdir: Option<PathBuf>,
    #[serde(default)]
    watch: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Commands {
    Single(String),
    Multiple(Vec<String>),
}

impl Build {
    fn commands(&self) -> &[String] {
        match &self.command {
            Commands::Single(command) => std::slice::from_ref(command),
            Commands::Multiple(commands) => commands,
        }
    }
}

/// Runs the build commands of these components, or of all where none is named: each by `sh`, in its folder, one after
/// another, and stops at the first that fails.
pub fn run(manifest: &Manifest, folder: &Path, chosen: &[String]) -> Result<()> {
    for id in chosen {
        ensure!(
            manifest.components.contains_key(id),
            "there is no component {id:?}"
        );
    }
    let mut built = 0;
    for id in in_order(manifest)? {
        let chosen = chosen.is_empty() || chosen.iter().any(|one| one == id);
        let build = manifest
            .components
            .get(id)
            .and_then(|one| one.build.as_ref());
        if let (true, Some(build)) = (chosen, build) {
            run_commands(id, build, folder)?;
            built += 1;
        }
    }
    println!(
        "{}",
        match built {
            0 => "None of the components have a build command.",
            _ => "Finished building all Spin components",
        }
    );
    Ok(())
}

fn run_commands(id: &str, build: &Build, folder: &Path) -> Result<()> {
    for command in build.commands() {
        println!("Building component {id} with `{command}`");
        let status = Command::new("sh")
            .args(["-c", command])
            .current_dir(working_folder(build, folder)?)
            .status()
            .with_context(|| format!("cannot run the build command of component {id}"))?;
        if !status.success() {
            bail!("Build command for component {id} failed with {status}");
        }
    }
    Ok(())
}

fn working_folder(build: &Build, folder: &Path) -> Result<PathBuf> {
    let folder = if folder == Path::new("") {
        Path::new(".")
    } else {
        folder
    };
    let Some(workdir) = &build.workdir else {
        return Ok(folder.to_owned());
    };
    ensure!(
        !workdir.has_root(),
        "the workdir {} must be relative",
        workdir.display()
    );
    Ok(folder.join(workdir))
}

/// The components' ids: what others depend on first, else as the manifest has them. (Spin leaves open in which order it
/// builds what does not depend on each other.)
fn in_order(manifest: &Manifest) -> Result<Vec<&str>> {
    let mut ordered = Vec::new();
    let mut visited = Vec::new();
    for id in manifest.components.keys() {
        visit(id, manifest, &mut visited, &mut ordered)?;
    }
    Ok(ordered)
}

/// Puts a component behind those whose file it depends on. In a circle, somebody goes first.
fn visit<'a>(
    id: &'a str,
    manifest: &'a Manifest,
    visited: &mut Vec<&'a str>,
    ordered: &mut Vec<&'a str>,
) -> Result<()> {
    if visited.contains(&id) {
        return Ok(());
    }
    visited.push(id);
    let (_, dependencies) = manifest.sources(id)?;
    for other in manifest.components.keys() {
        let (source, _) = manifest.sources(other)?;
        if dependencies
            .iter()
            .any(|dependency| dependency.path == source)
        {
            visit(other, manifest, visited, ordered)?;
        }
    }
    ordered.push(id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(components: &str) -> Manifest {
        Manifest::parse(&format!(
            "spin_manifest_version = 2\n[application]\nname = 'a'\n[[trigger.http]]\nroute = '/'\ncomponent = 'first'\n{components}"
        ))
        .expect("a manifest")
    }

    #[test]
    fn commands_run_one_after_another_in_their_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("sub")).expect("a folder in it");
        let manifest = manifest(
            "[component.first]\nsource = 'a.wasm'\ndependencies = { 'x:y' = { path = 'b.wasm' } }\n\
             build = { command = 'test -f b.wasm && touch a.wasm' }\n\
             [component.second]\nsource = 'b.wasm'\n\
             build = { workdir = 'sub', command = ['echo \"a  b\" > here', 'cp here ../b.wasm'] }",
        );
        run(&manifest, folder.path(), &["second".to_owned()]).expect("one component is built");
        assert!(!folder.path().join("a.wasm").exists());
        std::fs::remove_file(folder.path().join("b.wasm")).expect("it was built");
        run(&manifest, folder.path(), &[]).expect("the dependency is built first");
        let copied = std::fs::read_to_string(folder.path().join("b.wasm")).expect("a file");
        assert_eq!(copied, "a  b\n");
        assert!(folder.path().join("a.wasm").exists());
    }

    #[test]
    fn a_build_ends_with_the_first_command_that_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = manifest(
            "[component.first]\nsource = 'a.wasm'\nbuild = { command = ['exit 3', 'touch late'] }",
        );
        let error = run(&manifest, folder.path(), &[]).expect_err("it exits with 3");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert!(!folder.path().join("late").exists());
        let error = run(&manifest, folder.path(), &["other".to_owned()]).expect_err("no such one");
        assert!(error.to_string().contains("other"), "{error}");
    }
}
