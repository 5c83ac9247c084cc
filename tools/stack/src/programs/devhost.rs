//! The development host, where no Spin is installed.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;
use crate::programs::cargo::Cargo;
use crate::programs::components::copy_if_changed;
use crate::report::Report;
use crate::workspace;

/// Compiles the development host. It runs from a copy, so that a build of another clone does not replace it.
pub(crate) fn build(cargo: &Cargo, report: &Report) -> Result<PathBuf> {
    report.step("compiling the development host (minutes the first time)");
    let mut command = cargo.command(["build", "--profile", "tool", "--package", "devhost"]);
    Cargo::quieten(&mut command);
    process::run(command)?;
    let copy = workspace::root().join("target/todo-events/devhost");
    copy_if_changed(&cargo.target_dir().join("tool/devhost"), &copy)?;
    report.step("development host compiled");
    Ok(copy)
}
