//! `kubectl`, by which everything is asked and told, as an operator would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use stack::{process, workspace};

/// How long a command may take, waits included.
const LIMIT: Duration = Duration::from_secs(900);

/// `kubectl` with an administrator's access.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    access: PathBuf,
    scratch: PathBuf,
}

impl Kubectl {
    pub fn new(kubernetes: &Path, folder: &Path) -> Self {
        Self {
            program: kubernetes.to_owned(),
            access: folder.join("pki/admin.kubeconfig"),
            scratch: folder.to_owned(),
        }
    }

    /// The command, to be run in the repository's root, where the documented commands are.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        self.grant(&mut command);
        command
            .arg("kubectl")
            .args(arguments)
            .current_dir(workspace::root());
        command
    }

    /// The program, which is `kubectl` by its first argument.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Gives a command the administrator's access, and nothing of whoever runs this.
    pub fn grant(&self, command: &mut Command) {
        command
            .env("KUBECONFIG", &self.access)
            .env("HOME", &self.scratch);
    }

    /// Runs it and returns what it printed.
    pub fn read(&self, arguments: &[&str]) -> Result<String> {
        process::read(self.command(arguments), LIMIT)
    }

    /// Runs it for its effect.
    pub fn run(&self, arguments: &[&str]) -> Result<()> {
        self.read(arguments).map(drop)
    }

    /// What it printed with `--output json`.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--output", "json"]);
        serde_json::from_str(&self.read(&arguments)?).context("kubectl printed no JSON")
    }

    /// Applies manifests that are text.
    pub fn apply_text(&self, manifests: &str) -> Result<()> {
        let file = tempfile::Builder::new()
            .suffix(".yaml")
            .tempfile_in(&self.scratch)?;
        fs::write(file.path(), manifests)?;
        self.run(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            &file.path().display().to_string(),
        ])
    }

    /// Posts to a path of the API, for what has no command of its own.
    pub fn create_raw(&self, path: &str, body: &Value) -> Result<()> {
        let file = tempfile::NamedTempFile::new_in(&self.scratch)?;
        fs::write(file.path(), body.to_string())?;
        self.run(&[
            "create",
            "--raw",
            path,
            "-f",
            &file.path().display().to_string(),
        ])
    }

    /// Waits until `condition` holds; says at the end what the pods of the namespace look like.
    pub fn wait(&self, namespace: &str, arguments: &[&str]) -> Result<()> {
        let mut all = vec!["wait", "-n", namespace];
        all.extend_from_slice(arguments);
        self.run(&all).with_context(|| self.describe(namespace))
    }

    /// The pods of a namespace and its last events, for a message.
    pub fn describe(&self, namespace: &str) -> String {
        let pods = self
            .read(&["get", "pods", "-n", namespace, "-o", "wide"])
            .unwrap_or_default();
        let events = self
            .read(&["get", "events", "-n", namespace, "--sort-by=.lastTimestamp"])
            .unwrap_or_default();
        let events: Vec<&str> = events.lines().rev().take(15).collect();
        format!(
            "pods of {namespace}:\n{pods}\nlast events:\n{}",
            events.join("\n")
        )
    }

    /// Tries until `attempt` gives something, for `limit` at most.
    pub fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        let mut last = None;
        while began.elapsed() < limit {
            match attempt() {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
            stack::interrupt::check()?;
            thread::sleep(Duration::from_millis(200));
        }
        match last {
            Some(error) => {
                Err(error).with_context(|| format!("{what}: not within {} s", limit.as_secs()))
            }
            None => bail!("{what}: not within {} s", limit.as_secs()),
        }
    }
}
