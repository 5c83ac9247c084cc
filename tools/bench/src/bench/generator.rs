//! Runs `tools/load`.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use load::plan::Plan;
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

    /// Carries out a plan and returns what the load saw.
    pub(crate) fn run(&self, plan: &Plan) -> Result<Value> {
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
