//! The one stack that `up` runs in a clone, as the other commands find it.
//!
//! `up` holds a lock on a file as long as it lives, so a description left behind by a killed one is
//! never taken for a running stack, and `down` never signals a stranger with a recycled process id.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::endpoints::Endpoints;
use crate::workspace;

/// The claim to be the clone's running stack; ends when it is dropped.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

impl Claim {
    /// Claims it.
    ///
    /// # Errors
    /// When another process has it.
    pub fn take() -> Result<Self> {
        let Some(lock) = workspace::try_lock(&lock_path())? else {
            bail!(
                "the service is running already; `cargo xtask demo` uses it, `cargo xtask down` stops it"
            );
        };
        Ok(Self { _lock: lock })
    }

    /// Tells the other commands where the stack is.
    ///
    /// # Errors
    /// When the description cannot be written.
    pub fn publish(&self, endpoints: &Endpoints) -> Result<()> {
        endpoints.write(&description_path())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The lock alone decides whether a stack runs.
        let _ = fs::remove_file(description_path());
    }
}

/// The running stack, if there is one and it is ready.
///
/// # Errors
/// When its lock or description cannot be read.
pub fn find() -> Result<Option<Endpoints>> {
    if workspace::try_lock(&lock_path())?.is_some() || !description_path().is_file() {
        return Ok(None);
    }
    Endpoints::read(&description_path()).map(Some)
}

/// Whether `up` is running, ready or not.
///
/// # Errors
/// When its lock cannot be read.
pub fn exists() -> Result<bool> {
    Ok(workspace::try_lock(&lock_path())?.is_none())
}

fn lock_path() -> PathBuf {
    workspace::state_dir().join("stack.lock")
}

fn description_path() -> PathBuf {
    workspace::state_dir().join("stack.json")
}
