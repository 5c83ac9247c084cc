//! `test`

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stack::asyncapi::Renderer;
use stack::endpoints::Endpoints;
use stack::fuzz::Fuzz;
use stack::programs::cargo::Cargo;
use stack::programs::{Host, KubernetesTools, Programs};
use stack::programs::{kafka, wasm_target};
use stack::report::Report;
use stack::{Stack, StackOptions};
use stack::{postgres_server, process, workspace};

use crate::{BrokerName, TestArguments};

pub fn run(arguments: &TestArguments, report: Report) -> Result<()> {
    if arguments.filter.is_some() && !arguments.e2e {
        bail!("a name chooses among end-to-end tests (`--e2e NAME`) or stories (`--cluster NAME`)");
    }
    if needs_kafka(arguments) {
        kafka::check().context("the tests run on Apache Kafka (`--broker small` does without)")?;
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
        .args(["-l", "tools", "k8s/tests"])
        .current_dir(workspace::root());
    let unformatted = process::read(gofmt, Duration::from_secs(60))?;
    if !unformatted.is_empty() {
        bail!("`gofmt -w` has to format: {unformatted}");
    }
    report.step("lints: cargo clippy, go vet");
    let mut clippy = cargo.command(["clippy", "--workspace", "--all-targets"]);
    Cargo::quieten(&mut clippy);
    clippy.args(["--", "--deny", "warnings"]);
    process::run(clippy)?;
    process::run(go_in(DAPR, ["vet", OWN_DAPR_PACKAGE]))?;
    process::run(go_in(KAFKA, ["vet", "./..."]))
}

const DAPR: &str = "tools/dapr";
const KAFKA: &str = "tools/kafka";
const ALERTS: &str = "k8s/tests/alerts";

/// The package of the module that is the project's own work. Vetting the others would also vet all of Dapr, for many
/// minutes.
const OWN_DAPR_PACKAGE: &str = "./cmd/broker";

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
    process::run(go_in(DAPR, ["test", OWN_DAPR_PACKAGE]))?;
    process::run(go_in(KAFKA, ["test", "./cmd/..."]))?;
    process::run(go_in(ALERTS, ["test", "./..."]))
}

/// A broker, and which end-to-end tests run on it: all, or one of their programs.
type Suite = (BrokerName, Option<&'static str>);

/// By default: all tests on Apache Kafka, then the tests of events on the small broker of `up`. With `--e2e` alone: the
/// small broker only, which needs the least.
fn suites(arguments: &TestArguments) -> &'static [Suite] {
    match arguments.broker {
        Some(BrokerName::Kafka) => &[(BrokerName::Kafka, None)],
        Some(BrokerName::Small) => &[(BrokerName::Small, None)],
        None if arguments.e2e => &[(BrokerName::Small, None)],
        None => &[
            (BrokerName::Kafka, None),
            (BrokerName::Small, Some("events")),
        ],
    }
}

fn needs_kafka(arguments: &TestArguments) -> bool {
    let on_kafka = |(broker, _): &Suite| *broker == BrokerName::Kafka;
    !arguments.unit && suites(arguments).iter().any(on_kafka)
}

fn end_to_end_tests(arguments: &TestArguments, cargo: &Cargo, report: Report) -> Result<()> {
    report.step("end-to-end tests");
    let database_url = postgres_server::given();
    let host = arguments.host;
    let filter = arguments.filter.as_deref();
    let fuzz = !arguments.ignored && filter.is_none_or(|filter| "fuzz".contains(filter));
    let fuzz = fuzz.then(|| Fuzz::prepare(&report)).transpose()?;
    if !arguments.ignored && filter.is_none_or(|filter| "asyncapi".contains(filter)) {
        render_events_description(&report)?;
    }
    let mut programs = Programs::prepare(host, database_url.is_none(), &report)?;
    if needs_kafka(arguments) {
        programs = programs.with_kafka(&report)?;
    }
    // Before the stack starts, so that it does not idle while the tests compile.
    let mut compile = cargo.command([
        "test",
        "--package",
        "e2e",
        "--package",
        "conformance",
        "--no-run",
    ]);
    Cargo::quieten(&mut compile);
    process::run(compile)?;
    let guests = build_guests(cargo, &report)?;
    report.step("end-to-end tests compiled");

    for (number, suite) in suites(arguments).iter().enumerate() {
        let mut options = StackOptions::new(programs.clone())
            .state_dir(&workspace::state_dir().join("test"))
            .variable("log_level", "debug")
            .report(report);
        if let Some(url) = &database_url {
            options = options.postgres(url);
        }
        if suite.0 == BrokerName::Kafka {
            options = options.apache_kafka();
        }
        let stack = options.start()?;
        let once = (number == 0 && !arguments.ignored).then_some((
            &programs,
            guests.as_path(),
            fuzz.as_ref(),
        ));
        let result = tests_on(&stack, *suite, once, arguments, cargo, report);
        let logs = stack.endpoints().state_dir.display().to_string();
        if let Some(service) = stack.ended() {
            eprintln!("{} has ended by itself{}", service.name(), service.tail());
        }
        stack.stop()?;
        result.with_context(|| format!("logs of the shared stack are in {logs}"))?;
    }
    Ok(())
}

/// Where there is Node.js, which nothing else needs.
fn render_events_description(report: &Report) -> Result<()> {
    match Renderer::prepare(report)? {
        Some(renderer) => renderer.run(report),
        None => Ok(()),
    }
}

/// `once`, for the first suite alone: the components for the tests of the host, which has to do with Postgres and not with
/// the broker, and the API fuzz, which has to do with neither.
fn tests_on(
    stack: &Stack,
    (broker, only): Suite,
    once: Option<(&Programs, &Path, Option<&Fuzz>)>,
    arguments: &TestArguments,
    cargo: &Cargo,
    report: Report,
) -> Result<()> {
    let endpoints = serde_json::to_string(stack.endpoints())?;
    if let Some((programs, guests, _)) = once {
        if programs.host == Host::Devhost {
            let unit_tests = ["test", "--profile", "tool", "--package", "devhost"];
            process::run(cargo.command(unit_tests))?;
        }
        let host = &programs.host_program;
        report.step(format!("what the host does: {}", host.display()));
        let mut conformance = cargo.command(["test", "--package", "conformance"]);
        conformance
            .args(["--", "--include-ignored"])
            .args(&arguments.filter)
            .env("CONFORMANCE_HOST", host)
            .env("CONFORMANCE_GUESTS", guests)
            .env("DATABASE_URL", &stack.endpoints().database_url);
        process::run(conformance)?;
    }
    let mut tests = cargo.command(["test", "--package", "e2e", "--no-fail-fast"]);
    if let Some(only) = only {
        tests.args(["--test", only]);
    }
    tests.arg("--").args(&arguments.filter);
    if arguments.ignored {
        tests.arg("--ignored");
    }
    tests.env(Endpoints::VARIABLE, &endpoints);
    process::run(tests)?;
    report.step("the events of all these tests: cargo test");
    let mut afterwards = cargo.command(["test", "--package", "e2e", "--test", "afterwards"]);
    afterwards
        .args(["--", "--ignored", "--nocapture"])
        .env(Endpoints::VARIABLE, &endpoints);
    process::run(afterwards)?;
    if broker == BrokerName::Kafka && arguments.filter.is_none() {
        report.step("what the users of Kafka may do: go test");
        let mut access = go_in(KAFKA, ["test", "-count=1", "./access"]);
        access.env(Endpoints::VARIABLE, &endpoints);
        process::run(access)?;
    }
    if let Some((_, _, Some(fuzz))) = once {
        fuzz.run(stack.endpoints(), &report)?;
    }
    Ok(())
}

/// Compiles the components that the tests of the host serve. Returns their folder.
fn build_guests(cargo: &Cargo, report: &Report) -> Result<PathBuf> {
    let mut build = wasm_target::prepare(report)?.build_command(cargo.target_dir());
    Cargo::quieten(&mut build);
    build.current_dir(workspace::root().join("tools/conformance/guests"));
    process::run(build)?;
    Ok(cargo.target_dir().join(wasm_target::TARGET).join("release"))
}

fn go_in<const N: usize>(module: &str, arguments: [&str; N]) -> Command {
    let mut command = Command::new("go");
    command
        .args(arguments)
        .current_dir(workspace::root().join(module));
    command
}
