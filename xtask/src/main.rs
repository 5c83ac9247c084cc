//! `cargo xtask …`: the developer commands.

mod demo;
mod demo_reminders;
mod program;
mod test;
mod up;

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use stack::interrupt;
use stack::programs::Host;
use stack::report::Report;

/// Developer commands of the Todo events service.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start the whole service on this machine and print how to use it
    Up(UpArguments),
    /// Tell the story of a daily task or of a reminder, on the running service or one started for it
    Demo(DemoArguments),
    /// Check formatting and lints, and run all tests
    Test(TestArguments),
    /// Measure the service's speed, and another server's beside it
    #[command(disable_help_flag = true)]
    Bench(ToolArguments),
    /// Print a bearer token for a user of the running service
    Token {
        /// The user, for example demo
        user: String,
        /// A role that the token gives, beside what every user may
        #[arg(long, value_enum)]
        role: Option<Role>,
    },
    /// Publish stored events again, for a consumer that is new or has lost its data
    #[command(disable_help_flag = true)]
    Replay(ToolArguments),
    /// Find published events that never reached a handler
    #[command(disable_help_flag = true)]
    Reconcile(ToolArguments),
    /// List, show, replay or discard records that no handler could deal with
    #[command(disable_help_flag = true)]
    DeadLetters(ToolArguments),
    /// List, show, retry or skip what waits for publishing
    #[command(disable_help_flag = true)]
    Lanes(ToolArguments),
    /// After a restore to the past: raise all event numbers, so that none is used twice; before the service starts
    #[command(disable_help_flag = true)]
    Restored(ToolArguments),
    /// Stop the running service
    Down,
    /// Compile all components to WebAssembly
    Build,
}

/// The arguments of a tool that is a program of its own; its own `--help` explains them.
#[derive(Args)]
struct ToolArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "…")]
    arguments: Vec<OsString>,
}

#[derive(Args)]
struct UpArguments {
    /// Use this Kafka broker, as HOST:PORT, instead of starting one
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Which broker to start
    #[arg(long, value_enum, default_value_t, conflicts_with = "kafka")]
    broker: BrokerName,
    /// Keep all data in this folder; without it nothing outlives the command
    #[arg(long, value_name = "DIR")]
    persist: Option<PathBuf>,
    /// What serves the app [default: spin where it is installed]
    #[arg(long, value_name = "spin|devhost")]
    host: Option<Host>,
    /// Where the app listens [default: 127.0.0.1:3000, or a free port]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddrV4>,
}

#[derive(Args)]
struct DemoArguments {
    /// Tell the story of a reminder instead, which arrives within half a minute
    #[arg(long)]
    reminders: bool,
    /// What serves the app, if it is started for the demo
    #[arg(long, value_name = "spin|devhost")]
    host: Option<Host>,
}

#[derive(Args)]
struct TestArguments {
    /// Only formatting, lints and the tests that need no running service
    #[arg(long, conflicts_with = "e2e")]
    unit: bool,
    /// Only the tests on a running service
    #[arg(long)]
    e2e: bool,
    /// What serves the app [default: spin where it is installed]
    #[arg(long, value_name = "spin|devhost")]
    host: Option<Host>,
    /// The broker of the end-to-end tests [default: kafka, and small for a part; with --e2e: small]
    #[arg(long, value_enum, conflicts_with = "unit")]
    broker: Option<BrokerName>,
    /// Run only the end-to-end tests that are too slow for every day
    #[arg(long, requires = "e2e")]
    ignored: bool,
    /// Only the stories on a Kubernetes cluster of one node, which is started for them; needs Linux and root
    #[arg(long, conflicts_with_all = ["unit", "e2e", "broker"])]
    cluster: bool,
    /// Run only end-to-end tests, or stories, whose name contains this
    #[arg(value_name = "FILTER", conflicts_with = "unit")]
    filter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Role {
    /// May use /operator
    Operator,
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum BrokerName {
    /// A small one without access control, which needs nothing
    #[default]
    Small,
    /// Apache Kafka with access control, as on Kubernetes; needs Java and Maven
    Kafka,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::exit_code(interrupt::listen().and_then(|()| run(arguments)))
}

fn run(arguments: Arguments) -> Result<()> {
    let report = Report::new();
    match arguments.command {
        Task::Up(arguments) => up::run(arguments, report),
        Task::Demo(arguments) if arguments.reminders => demo_reminders::run(&arguments, report),
        Task::Demo(arguments) => demo::run(&arguments, report),
        Task::Test(arguments) if arguments.cluster => program::cluster(&arguments),
        Task::Test(arguments) => test::run(&arguments, report),
        Task::Bench(rest) => program::bench(&rest.arguments),
        Task::Token { user, role } => up::token(&user, role),
        Task::Replay(rest) => program::operator("replay", &rest.arguments),
        Task::Reconcile(rest) => program::operator("reconcile", &rest.arguments),
        Task::DeadLetters(rest) => program::operator("dead-letters", &rest.arguments),
        Task::Lanes(rest) => program::operator("lanes", &rest.arguments),
        Task::Restored(rest) => program::operator("restored", &rest.arguments),
        Task::Down => up::down(report),
        Task::Build => up::build(report),
    }
}
