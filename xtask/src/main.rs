//! `cargo xtask …`: the developer commands.

mod commands;

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
    /// Measure the service, and another server beside it
    Bench(BenchArguments),
    /// Print a bearer token for a user of the running service
    Token {
        /// The user, for example demo
        user: String,
    },
    /// Publish stored events again, for a consumer that is new or has lost its data
    Replay(ReplayArguments),
    /// Find published events that never reached a handler
    Reconcile(ReconcileArguments),
    /// List, show, replay or discard records that no handler could deal with
    #[command(subcommand)]
    DeadLetters(DeadLettersTask),
    /// List, show, retry or skip what waits for publishing
    #[command(subcommand)]
    Lanes(LanesTask),
    /// Give a database that was restored to the past numbers that nobody has seen, before the service starts
    Restored {
        /// By how much; more than the events that any user can have had in the time that was undone
        #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1..))]
        by: i64,
    },
    /// Stop the running service
    Down,
    /// Compile all components to WebAssembly
    Build,
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
    #[arg(long)]
    host: Option<HostName>,
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
    #[arg(long)]
    host: Option<HostName>,
}

#[derive(Args)]
struct ReplayArguments {
    /// Whose events
    #[arg(long, value_name = "USER", required_unless_present = "all")]
    user: Option<String>,
    /// Everybody's events, in the order of their time
    #[arg(long, conflicts_with = "user")]
    all: bool,
    /// From when on, in RFC 3339, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = commands::replay::instant)]
    since: String,
}

#[derive(Args)]
struct ReconcileArguments {
    /// From when on, in RFC 3339, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = commands::replay::instant)]
    since: String,
    /// Publish them again
    #[arg(long)]
    replay: bool,
}

#[derive(Subcommand)]
enum DeadLettersTask {
    /// List the open ones, the oldest first
    List {
        /// Those replayed or discarded too
        #[arg(long)]
        all: bool,
    },
    /// Show one with its content
    Show {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Publish one again to the topic it came from
    Replay {
        /// Its id, or the beginning of it
        id: String,
        /// To this topic instead; needed where the one it came from is not known
        #[arg(long)]
        topic: Option<String>,
    },
    /// Mark one as not to be dealt with
    Discard {
        /// Its id, or the beginning of it
        id: String,
    },
}

#[derive(Subcommand)]
enum LanesTask {
    /// List users with unpublished events, blocked ones first
    List,
    /// Show a user's next event, and why it waits
    Show {
        /// Whose events
        user: String,
    },
    /// Try a user's next event now, however long it would rest
    Retry {
        /// Whose events
        user: String,
    },
    /// Go on without the event that blocks a user's others; it becomes a dead letter
    Skip {
        /// Whose events
        user: String,
        /// The number of the event, which must be the next one
        number: i64,
    },
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
    #[arg(long)]
    host: Option<HostName>,
    /// The broker of the end-to-end tests [default: kafka, and small for a part; with --e2e: small]
    #[arg(long, value_enum, conflicts_with = "unit")]
    broker: Option<BrokerName>,
    /// Run the end-to-end tests that take too long for every day, and no others
    #[arg(long, requires = "e2e")]
    ignored: bool,
    /// Run only end-to-end tests whose name contains this
    #[arg(value_name = "FILTER", requires = "e2e")]
    filter: Option<String>,
}

#[derive(Args)]
struct BenchArguments {
    /// What serves the app [default: spin where it is installed]
    #[arg(long)]
    host: Option<HostName>,
    /// Numbers of clients that create at once; the mixed load takes the largest
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16], value_name = "N,…")]
    clients: Vec<usize>,
    /// How long each load lasts
    #[arg(long, default_value_t = 20.0, value_name = "S")]
    seconds: f64,
    /// How many turns each server has; the table shows medians
    #[arg(long, default_value_t = 1, value_name = "N")]
    rounds: usize,
    /// Tasks that each of the 100 users has before the mixed load
    #[arg(long, default_value_t = 200, value_name = "N")]
    preload: u64,
    /// How often completion to next instance and create to event are measured
    #[arg(long, default_value_t = 100, value_name = "N")]
    samples: usize,
    /// Creates while the sidecar is away
    #[arg(long, default_value_t = 2000, value_name = "N")]
    backlog: u64,
    /// Measure nothing else than these
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MEASURE,…")]
    only: Vec<MeasureName>,
    /// Measure this server too, in turns; a command for the shell
    #[arg(long, value_name = "COMMAND")]
    against: Option<String>,
    /// Apply this SQL to the other server's database
    #[arg(long, value_name = "FILE", requires = "against")]
    against_schema: Option<PathBuf>,
    /// What to call the other server
    #[arg(
        long,
        default_value = "other",
        value_name = "NAME",
        requires = "against"
    )]
    against_label: String,
    /// Write all results to this file, a line of JSON for each
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum MeasureName {
    /// Creates, without and with due dates
    Create,
    /// Lists, creates, patches, completions and deletes, and the memory after them
    Mixed,
    /// Completion to next instance, create to event, and a while of nothing
    Probes,
    /// What piled up while the sidecar was away; of this service only
    Drain,
    /// From the app's start until it is ready
    Start,
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum BrokerName {
    /// A small one without access control, which needs nothing
    #[default]
    Small,
    /// Apache Kafka with access control, as on Kubernetes; needs Java and Maven
    Kafka,
}

#[derive(Clone, Copy, ValueEnum)]
enum HostName {
    Spin,
    Devhost,
}

impl From<HostName> for Host {
    fn from(name: HostName) -> Self {
        match name {
            HostName::Spin => Self::Spin,
            HostName::Devhost => Self::Devhost,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match interrupt::listen().and_then(|()| run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::requested() => {
            eprintln!("\nStopped before it was done; nothing is left running.");
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let report = Report::new();
    match arguments.command {
        Task::Up(arguments) => commands::up::run(arguments, report),
        Task::Demo(arguments) if arguments.reminders => {
            commands::demo_reminders::run(arguments, report)
        }
        Task::Demo(arguments) => commands::demo::run(arguments, report),
        Task::Test(arguments) => commands::test::run(&arguments, report),
        Task::Bench(arguments) => commands::bench::run(arguments, report),
        Task::Token { user } => commands::token::run(&user),
        Task::Replay(arguments) => commands::replay::run(&arguments, report),
        Task::Reconcile(arguments) => commands::reconcile::run(&arguments, report),
        Task::DeadLetters(task) => commands::dead_letters::run(&task, report),
        Task::Lanes(task) => commands::lanes::run(&task, report),
        Task::Restored { by } => commands::restored::run(by, report),
        Task::Down => commands::down::run(report),
        Task::Build => commands::build::run(report),
    }
}
