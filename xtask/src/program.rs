//! Commands that are programs of their own, compiled when somebody first uses them: `up` does not wait for them.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Error, Result};
use stack::programs::cargo::{self, Cargo};
use stack::{process, running, workspace};

use crate::TestArguments;

/// `bench`: `tools/bench`.
pub fn bench(arguments: &[OsString]) -> Result<()> {
    let mut bench = built("bench", "todo-bench")?;
    bench.arg0("cargo xtask bench").args(arguments);
    Err(become_it(bench))
}

/// `test --cluster`: `tools/cluster`.
pub fn cluster(arguments: &TestArguments) -> Result<()> {
    let mut cluster = built("cluster", "todo-cluster")?;
    if let Some(host) = arguments.host {
        cluster.args(["--host", &host.to_string()]);
    }
    cluster.args(&arguments.filter);
    Err(become_it(cluster))
}

/// An operator's command: `tools/operator`, on the running service of this clone; where none runs, on the one that the
/// environment names.
pub fn operator(command: &str, arguments: &[OsString]) -> Result<()> {
    let mut operator = built("operator", "todo-operator")?;
    // It calls itself by this in what it prints.
    operator.arg0("cargo xtask").arg(command).args(arguments);
    if let Some(endpoints) = running::find()? {
        operator
            .env("DATABASE_URL", &endpoints.database_url)
            .env("DAPR_HTTP_ENDPOINT", &endpoints.dapr_url)
            .env("DAPR_API_TOKEN", &endpoints.secrets.dapr_token);
    }
    Err(become_it(operator))
}

/// Compiles a program of the workspace to where cargo put this one. Not to the folder that clones share: an operator is not
/// to wait until another clone's tests are done.
fn built(package: &str, program: &str) -> Result<Command> {
    let mut build = Command::new("cargo");
    cargo::remove_own_variables(&mut build);
    build
        .args(["build", "--package", package])
        .current_dir(workspace::root());
    Cargo::quieten(&mut build);
    process::run(build)?;
    let this = env::current_exe().context("where this program is, is not known")?;
    Ok(Command::new(this.with_file_name(program)))
}

/// Puts a program in the place of this one: signals and the exit code are its own then. Returns only when it cannot.
fn become_it(mut program: Command) -> Error {
    Error::new(program.exec()).context(format!("{program:?} does not start"))
}
