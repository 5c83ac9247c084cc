//! `cargo xtask bench`: measures the service, and another server beside it.

mod bench;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bench::{Against, Measure, Options};
use clap::Parser;
use stack::programs::Host;
use stack::report::Report;
use stack::{interrupt, postgres_server};

/// Measure the service's speed, and another server's beside it.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Arguments {
    /// What serves the app [default: spin where it is installed]
    #[arg(long, value_name = "spin|devhost")]
    host: Option<Host>,
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
    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MEASURE,…")]
    only: Vec<Measure>,
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::exit_code(interrupt::listen().and_then(|()| run(arguments)))
}

fn run(arguments: Arguments) -> Result<()> {
    let label = arguments.against_label;
    let schema = arguments.against_schema;
    bench::run(
        &Options {
            host: arguments.host,
            clients: arguments.clients,
            seconds: arguments.seconds,
            rounds: arguments.rounds,
            preload: arguments.preload,
            samples: arguments.samples,
            backlog: arguments.backlog,
            only: arguments.only,
            against: arguments.against.map(|command| Against {
                command,
                label,
                schema,
            }),
            json: arguments.json,
            database_url: postgres_server::given(),
        },
        Report::new(),
    )
}
