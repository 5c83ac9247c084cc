//! Runs `tools/load`.

use std::io::Write;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use stack::process;
use stack::programs::cargo::Cargo;
use stack::report::Report;

/// Longer than any load takes.
const LIMIT: Duration = Duration::from_secs(1800);

/// The program that puts load on a server.
#[derive(Debug)]
pub(crate) struct Generator {
    program: PathBuf,
}

/// Its input; `tools/load/src/plan.rs` reads it.
#[derive(Debug, Serialize)]
pub(crate) struct Plan<'a> {
    pub(crate) address: SocketAddrV4,
    pub(crate) users: &'a [User],
    pub(crate) work: Work<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) token: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work<'a> {
    Create {
        clients: usize,
        seconds: f64,
        due: bool,
    },
    Fill {
        clients: usize,
        count: u64,
        due: bool,
        tell_ids: bool,
    },
    Mixed {
        clients: usize,
        seconds: f64,
        seed: u64,
        preloaded: &'a Value,
    },
    NextInstance,
    Event {
        kafka: &'a str,
        topic: &'a str,
    },
}

/// What it saw of requests of one kind, or of all.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) accepted: u64,
    pub(crate) errors: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Generator {
    /// Compiles it, with optimizations.
    pub(crate) fn prepare(cargo: &Cargo, report: &Report) -> Result<Self> {
        report.step("compiling the load");
        let mut command = cargo.command(["build", "--profile", "tool", "--package", "load"]);
        Cargo::quieten(&mut command);
        process::run(command)?;
        Ok(Self {
            program: cargo.target_dir().join("tool/load"),
        })
    }

    /// Carries out a plan; gives what it saw.
    pub(crate) fn run(&self, plan: &Plan<'_>) -> Result<Value> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(&serde_json::to_vec(plan)?)?;
        let mut command = Command::new(&self.program);
        command.arg(file.path());
        let output = process::read(command, LIMIT)?;
        serde_json::from_str(&output).context("the load printed something else than its result")
    }
}

/// A part of a result.
pub(crate) fn part<T: for<'a> Deserialize<'a>>(result: &Value, name: &str) -> Result<T> {
    let part = result
        .get(name)
        .with_context(|| format!("the load told no {name}"))?;
    Ok(T::deserialize(part)?)
}
