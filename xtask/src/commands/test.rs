//! `test`

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::cargo::Cargo;
use xtask::endpoints::Endpoints;
use xtask::programs::{KubernetesTools, Programs};
use xtask::report::Report;
use xtask::stack::StackOptions;
use xtask::{kafka_programs, process, wasm_target, workspace};

use super::up::database_url;
use crate::{BrokerName, TestArguments};

pub fn run(arguments: &TestArguments, report: Report) -> Result<()> {
    if arguments.broker == BrokerName::Kafka {
        kafka_programs::check()?;
    }
    let cargo = Cargo::take(&report)?;
    if !arguments.e2e {
        check_style(&cargo, report)?;
        unit_tests(&cargo, report)?;
    }
    if !arguments.unit {
        end_to_end_tests(arguments, &cargo, report)?;
    }
    report.say(if arguments.unit {
        "All checks and unit tests passed. Next: `cargo xtask test --e2e` runs the others."
    } else if arguments.e2e {
        "All end-to-end tests passed. Next: `cargo xtask test` also checks style and runs unit tests."
    } else {
        "All checks and tests passed. Next: commit."
    });
    Ok(())
}

fn check_style(cargo: &Cargo, report: Report) -> Result<()> {
    report.step("formatting: cargo fmt --check, gofmt -l");
    process::run(cargo.command(["fmt", "--all", "--check"]))
        .context("`cargo fmt --all` formats the Rust code")?;
    let mut gofmt = Command::new("gofmt");
    gofmt
        .args(["-l", "."])
        .current_dir(workspace::root().join("tools"));
    let unformatted = process::read(gofmt, Duration::from_secs(60))?;
    if !unformatted.is_empty() {
        bail!("`gofmt -w` has to format, in tools: {unformatted}");
    }
    report.step("lints: cargo clippy, go vet");
    let mut clippy = cargo.command(["clippy", "--workspace", "--all-targets"]);
    Cargo::quieten(&mut clippy);
    clippy.args(["--", "--deny", "warnings"]);
    process::run(clippy)?;
    process::run(go(["vet", OWN_GO_PACKAGE]))
}

/// The Go package that is the project's own work. Vetting the others would also vet all of Dapr, for many minutes.
const OWN_GO_PACKAGE: &str = "./cmd/broker";

fn unit_tests(cargo: &Cargo, report: Report) -> Result<()> {
    // The tests of `k8s/` would build them too, without saying so.
    KubernetesTools::prepare(&report)?;
    report.step("unit and component tests: cargo test, go test");
    // The development host has its tests beside the end-to-end ones, which compile it anyway.
    process::run(cargo.command([
        "test",
        "--workspace",
        "--exclude",
        "e2e",
        "--exclude",
        "devhost",
    ]))?;
    process::run(go(["test", OWN_GO_PACKAGE]))?;
    let mut monitoring = Command::new("go");
    monitoring
        .args(["test", "./..."])
        .current_dir(workspace::root().join("tools/prometheus"));
    process::run(monitoring)
}

fn end_to_end_tests(arguments: &TestArguments, cargo: &Cargo, report: Report) -> Result<()> {
    report.step("end-to-end tests");
    let database_url = database_url();
    let host = arguments.host.map(Into::into);
    let mut programs = Programs::prepare(host, database_url.is_none(), &report)?;
    if arguments.broker == BrokerName::Kafka {
        programs = programs.with_kafka(&report)?;
    }
    // Before the stack starts, so that it does not idle while the tests compile.
    let mut compile = cargo.command(["test", "--package", "e2e", "--no-run"]);
    Cargo::quieten(&mut compile);
    process::run(compile)?;
    let guests = build_guests(cargo, &report)?;
    report.step("end-to-end tests compiled");

    let mut options = StackOptions::new(programs)
        .state_dir(&workspace::state_dir().join("test"))
        .report(report);
    if let Some(url) = &database_url {
        options = options.postgres(url);
    }
    if arguments.broker == BrokerName::Kafka {
        options = options.apache_kafka();
    }
    let stack = options.start()?;
    let mut conformance = cargo.command(["test", "--profile", "tool", "--package", "devhost"]);
    if let Some(filter) = &arguments.filter {
        conformance.args(["--", "--include-ignored", filter]);
    } else {
        conformance.args(["--", "--include-ignored"]);
    }
    conformance
        .env("DEVHOST_TEST_GUESTS", guests)
        .env("DATABASE_URL", &stack.endpoints().database_url);
    let mut tests = cargo.command(["test", "--package", "e2e"]);
    if let Some(filter) = &arguments.filter {
        tests.args(["--", filter]);
    }
    tests.env(
        Endpoints::VARIABLE,
        serde_json::to_string(stack.endpoints())?,
    );
    let result = process::run(conformance).and_then(|()| process::run(tests));
    let logs = stack.endpoints().state_dir.display().to_string();
    if let Some(service) = stack.ended() {
        eprintln!("{} has ended by itself{}", service.name(), service.tail());
    }
    stack.stop()?;
    result.with_context(|| format!("logs of the shared stack are in {logs}"))
}

/// Compiles the components that the development host's tests serve; gives their folder.
fn build_guests(cargo: &Cargo, report: &Report) -> Result<PathBuf> {
    let mut build = wasm_target::prepare(report)?.build_command(cargo.target_dir());
    Cargo::quieten(&mut build);
    build.current_dir(workspace::root().join("tools/devhost/tests/guests"));
    process::run(build)?;
    Ok(cargo.target_dir().join(wasm_target::TARGET).join("release"))
}

fn go<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new("go");
    command.args(arguments).current_dir(go_module());
    command
}

fn go_module() -> PathBuf {
    workspace::root().join("tools/dapr")
}
