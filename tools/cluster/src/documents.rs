//! Commands of the documents, run as they stand there, with programs that an operator has and this machine has not.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use postgres::SimpleQueryMessage;
use stack::{process, workspace};

use crate::kubectl::Kubectl;
use crate::service::connect_as_superuser;

/// The first argument of the program that plays CloudNativePG's plugin for `kubectl`.
pub const CNPG: &str = "cnpg";

/// Which of the manifests are applied.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Overlay {
    Dev,
    Prod,
}

impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dev => "dev",
            Self::Prod => "prod",
        })
    }
}

/// The commands that need a cluster, block by block, of a section: from its heading to the next one, of whatever level.
fn blocks(document: &str, heading: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace::root().join(document))?;
    let mut found = Vec::new();
    let mut inside = false;
    let mut block: Option<Vec<&str>> = None;
    for line in text.lines() {
        match block.take() {
            Some(lines) if line == "```" => {
                let wanted = inside && lines.first() == Some(&"```sh needs-cluster");
                found.extend(wanted.then(|| lines[1..].join("\n") + "\n"));
            }
            Some(mut lines) => {
                lines.push(line);
                block = Some(lines);
            }
            None if line.starts_with("```") => block = Some(vec![line]),
            None if line.starts_with('#') => inside = line == heading,
            None => {}
        }
    }
    ensure!(
        !found.is_empty(),
        "{document}, {heading:?}: no commands for a cluster"
    );
    Ok(found)
}

/// Runs documented commands.
pub struct Runner {
    kubectl: Kubectl,
    programs: PathBuf,
    /// The overlay in whose place the documents write `prod`.
    overlay: Overlay,
}

impl Runner {
    /// Makes the programs that the commands call, in `folder`.
    pub fn new(kubectl: &Kubectl, folder: &Path, overlay: Overlay) -> Result<Self> {
        let programs = folder.join("bin");
        fs::create_dir_all(&programs)?;
        let kubernetes = kubectl.program().display();
        let this = env::current_exe().context("the program's own path is unknown")?;
        let folder_name = folder.display();
        for (name, script) in [
            ("kubectl", format!("exec {kubernetes} kubectl \"$@\"")),
            (
                "kubectl-cnpg",
                format!(
                    "exec {} {CNPG} {kubernetes} {folder_name} \"$@\"",
                    this.display()
                ),
            ),
            (
                "docker",
                include_str!("../resources/docker.sh")
                    .replace("@FOLDER@", &folder_name.to_string()),
            ),
        ] {
            let program = programs.join(name);
            fs::write(&program, format!("#!/bin/sh\n{script}\n"))?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self {
            kubectl: kubectl.clone(),
            programs,
            overlay,
        })
    }

    /// The commands of a section, for this overlay. Layers that it has none of are left out, and so is pushing the app's image:
    /// it is on the node already.
    pub fn blocks(&self, document: &str, heading: &str) -> Result<Vec<String>> {
        let for_overlay = |block: String| {
            let mut commands = String::new();
            for line in block.lines().filter(|line| !line.starts_with("spin ")) {
                let line = line.replace("overlays/prod/", &format!("overlays/{}/", self.overlay));
                let missing = line
                    .strip_prefix("kubectl apply -k ")
                    .is_some_and(|layer| !workspace::root().join(layer).is_dir());
                if !missing {
                    commands.push_str(&line);
                    commands.push('\n');
                }
            }
            commands
        };
        Ok(blocks(document, heading)?
            .into_iter()
            .map(for_overlay)
            .collect())
    }

    /// Makes a clone of another version of the repository, as far as its manifests go: in these layers the service's own images
    /// have another tag.
    pub fn clone_of_version(&self, clone: &Path, layers: &[&str], version: &str) -> Result<()> {
        copy(&workspace::root().join("k8s"), &clone.join("k8s"))?;
        for layer in layers {
            let file = clone.join(format!(
                "k8s/overlays/{}/{layer}/kustomization.yaml",
                self.overlay
            ));
            let text = fs::read_to_string(&file)?;
            let changed = text.replace("newTag: 0.1.0", &format!("newTag: {version}"));
            ensure!(text != changed, "{} has no tag", file.display());
            fs::write(file, changed)?;
        }
        Ok(())
    }

    /// In one shell, which shows them, and whose background commands end with it.
    fn shell(&self, commands: &str, clone: &Path) -> Command {
        let path = env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash");
        self.kubectl.grant(&mut bash);
        let commands = format!("trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{commands}");
        bash.args(["-euvo", "pipefail", "-c", &commands])
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .current_dir(clone);
        bash
    }

    /// Runs commands in a clone of the repository.
    pub fn run(&self, commands: &str, clone: &Path) -> Result<()> {
        let mut bash = self.shell(commands, clone);
        // For the backups; there is no object store.
        bash.env("ACCESS_KEY_ID", "none")
            .env("SECRET_ACCESS_KEY", "none");
        process::run(bash).context("a documented command failed")
    }

    /// Runs them and returns what they printed, whether or not the last one fails.
    pub fn outcome(&self, commands: &str, clone: &Path) -> Result<(bool, String)> {
        let output = process::capture(self.shell(commands, clone), Duration::from_secs(900))?;
        let printed = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&printed).into_owned(),
        ))
    }

    /// Runs them and returns what they printed.
    pub fn read(&self, commands: &str, clone: &Path) -> Result<String> {
        let (succeeded, printed) = self.outcome(commands, clone)?;
        ensure!(succeeded, "a documented command failed:\n{printed}");
        Ok(printed)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir()? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// Plays `kubectl cnpg psql CLUSTER -n NAMESPACE -- DATABASE -c STATEMENT`: prints the rows, their values between bars.
pub fn cnpg(arguments: &[OsString]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let [
        CNPG,
        kubernetes,
        folder,
        "psql",
        "todo-events-db",
        "-n",
        "todo-app",
        "--",
        database,
        options,
        statement,
    ] = words[..]
    else {
        bail!("the plugin is not played so far: {words:?}");
    };
    ensure!(
        options.starts_with('-') && options.ends_with('c'),
        "{options} is not known"
    );
    let kubectl = Kubectl::new(Path::new(kubernetes), Path::new(folder));
    let mut client = connect_as_superuser(&kubectl, database)?;
    for message in client.simple_query(statement)? {
        if let SimpleQueryMessage::Row(row) = message {
            let values: Vec<&str> = (0..row.len())
                .map(|place| row.get(place).unwrap_or_default())
                .collect();
            println!(" {}", values.join(" | "));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::blocks;

    /// What the stories read, which are seldom told.
    #[test]
    fn the_documents_have_the_commands_that_are_run() {
        for (document, heading, many) in [
            ("k8s/README.md", "## Layers", 4),
            ("docs/operations.md", "## Upgrading", 1),
            ("docs/operations.md", "### The way back", 1),
            ("docs/operations.md", "### A migration that failed", 3),
            ("docs/operations.md", "### Taking a migration back", 1),
        ] {
            let found = blocks(document, heading).unwrap();
            assert_eq!(found.len(), many, "{document}, {heading}: {found:?}");
        }
    }
}
