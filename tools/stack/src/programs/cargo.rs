//! Cargo, run on this workspace with build output that all clones of it share.
//!
//! A fresh clone would otherwise compile wasmtime, for minutes. Cargo tells the same package in two
//! clones apart by modification times alone, so when another clone comes to use the shared folder,
//! what was compiled of the workspace itself is removed first; dependencies stay.

use std::env;
use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::report::Report;
use crate::{interrupt, process, workspace};

/// The target folder, which no other clone uses while this value lives.
#[derive(Debug)]
pub struct Cargo {
    target_dir: PathBuf,
    _lock: File,
}

impl Cargo {
    /// Takes the shared target folder: `CARGO_TARGET_DIR` where it is set, else in the user's
    /// cache. Commands of one clone share it; another clone waits.
    ///
    /// # Errors
    /// When cargo is missing or the folder cannot be used.
    pub fn take(report: &Report) -> Result<Self> {
        if workspace::find_program("cargo").is_none() {
            anyhow::bail!("cargo is not on PATH; install Rust with rustup");
        }
        let target_dir = match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => std::path::absolute(workspace::root().join(dir))
                .context("CARGO_TARGET_DIR cannot be used")?,
            None => workspace::cache()?.join("cargo"),
        };
        let lock_path = target_dir.join("todo-events.lock");
        let stamp_path = target_dir.join("todo-events.clone");
        let identity = workspace::identity()?;
        let is_ours = || fs::read_to_string(&stamp_path).is_ok_and(|stamp| stamp == identity);
        let mut said = false;
        loop {
            if is_ours() {
                // Only for a moment does somebody else hold it alone.
                if let Some(lock) = workspace::try_lock_shared(&lock_path)?
                    && is_ours()
                {
                    return Ok(Self {
                        target_dir,
                        _lock: lock,
                    });
                }
            } else if let Some(_lock) = workspace::try_lock(&lock_path)? {
                adopt(&target_dir, &stamp_path, &identity)?;
                continue;
            }
            if !is_ours() && !said {
                report.step("another clone is building; waiting for it");
                said = true;
            }
            interrupt::check()?;
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Where cargo puts what it builds.
    #[must_use]
    pub fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// Shows what cargo compiles to a person at a terminal only; elsewhere its lines would bury the
    /// steps.
    pub fn quieten(command: &mut Command) {
        if !std::io::stderr().is_terminal() {
            command.arg("--quiet");
        }
    }

    /// A cargo command on this workspace and target folder.
    #[must_use]
    pub fn command<const N: usize>(&self, args: [&str; N]) -> Command {
        command(Path::new("cargo"), &self.target_dir, args)
    }
}

/// Lets a command see the environment as the user's shell has it: `cargo run` and `cargo test` add variables of their
/// own, and a change of those makes build scripts run again.
pub fn remove_own_variables(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let own = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
                || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&name)
        });
        if own {
            command.env_remove(name);
        }
    }
}

/// A cargo command without what cargo added to the environment.
pub(crate) fn command<const N: usize>(cargo: &Path, target_dir: &Path, args: [&str; N]) -> Command {
    let mut command = Command::new(cargo);
    remove_own_variables(&mut command);
    command
        .args(args)
        .env("CARGO_TARGET_DIR", target_dir)
        .current_dir(workspace::root());
    command
}

/// Claims the folder for this clone, if another clone used it last.
fn adopt(target_dir: &Path, stamp_path: &Path, identity: &str) -> Result<()> {
    let stamp = fs::read_to_string(stamp_path).ok();
    if stamp.as_deref() == Some(identity) {
        return Ok(());
    }
    if stamp.is_some() {
        for profile in [
            ["--profile", "dev"].as_slice(),
            &["--profile", "tool"],
            &["--release", "--target", "wasm32-wasip2"],
        ] {
            let mut clean = command(Path::new("cargo"), target_dir, ["clean", "--workspace"]);
            clean.args(profile);
            process::read(clean, Duration::from_secs(120))?;
        }
    }
    fs::write(stamp_path, identity)
        .with_context(|| format!("cannot write {}", stamp_path.display()))
}
