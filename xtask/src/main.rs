//! `cargo xtask …`: the developer commands.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::report::Report;
use xtask::{cargo, components, interrupt};

/// Developer commands of the Todo events service.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compile all components to WebAssembly
    Build,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::requested() => {
            eprintln!("\nStopped.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    interrupt::listen()?;
    let report = Report::new();
    match arguments.command {
        Task::Build => {
            let cargo = cargo::Cargo::take(&report)?;
            components::build(&cargo, &report)?;
            report.say("Built. Next: `cargo xtask up` starts the service with these components.");
            Ok(())
        }
    }
}
