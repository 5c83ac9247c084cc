//! `todo-operator …`: what an operator can do about a running service. Which one, the environment says: `DATABASE_URL`,
//! `DAPR_HTTP_ENDPOINT` and `DAPR_API_TOKEN`.

mod commands;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use commands::ME;

/// Exit code of a command that a signal ended, as shells use for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Commands for the operator of a running service, which DATABASE_URL, DAPR_HTTP_ENDPOINT [default:
/// http://127.0.0.1:3500] and DAPR_API_TOKEN name.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
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
    /// After a restore to the past: raise all event numbers, so that none is used twice; before the service starts
    Restored {
        /// By how much; more than any user's events in the time that was lost
        #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1..))]
        by: i64,
    },
}

#[derive(Args)]
struct ReplayArguments {
    /// The user whose events are published
    #[arg(long, value_name = "USER", required_unless_present = "all")]
    user: Option<String>,
    /// The events of all users
    #[arg(long, conflicts_with = "user")]
    all: bool,
    /// The time of the oldest event, in RFC 3339, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: String,
}

#[derive(Args)]
struct ReconcileArguments {
    /// The time of the oldest event, in RFC 3339, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: String,
    /// Publish them again
    #[arg(long)]
    replay: bool,
}

#[derive(Subcommand)]
enum DeadLettersTask {
    /// List the open dead letters, the oldest first
    List {
        /// Then those that were replayed or discarded, the latest first
        #[arg(long)]
        all: bool,
    },
    /// Show a dead letter with its content
    Show {
        /// The dead letter's id, or its first characters
        id: String,
    },
    /// Publish a dead letter again, to the topic it came from
    Replay {
        /// The dead letter's id, or its first characters
        id: String,
        /// Publish to this topic instead; required if the dead letter's own topic is unknown
        #[arg(long)]
        topic: Option<String>,
    },
    /// Discard a dead letter
    Discard {
        /// The dead letter's id, or its first characters
        id: String,
    },
}

#[derive(Subcommand)]
enum LanesTask {
    /// List users with unpublished events, blocked ones first
    List,
    /// Show a user's next event, and why it waits
    Show {
        /// The user
        user: String,
    },
    /// Try a user's next event now instead of after its rest
    Retry {
        /// The user
        user: String,
    },
    /// Skip the event that blocks a user's other events; it becomes a dead letter
    Skip {
        /// The user
        user: String,
        /// The event's number; it must be the user's next event
        number: i64,
    },
}

/// Accepts an instant in RFC 3339.
fn instant(text: &str) -> Result<String, String> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|_| text.to_owned())
        .map_err(|_| "not an instant in RFC 3339, such as 2026-01-31T08:00:00Z".to_owned())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // Nothing has to be tidied up: to begin again does no harm. Without a handler the first process of a container would go on.
    ctrlc::set_handler(|| std::process::exit(INTERRUPTED)).context("cannot listen for Ctrl-C")?;
    let matches = Arguments::command().bin_name(ME.to_string()).get_matches();
    match Arguments::from_arg_matches(&matches)?.command {
        Task::Replay(arguments) => commands::replay::run(&arguments),
        Task::Reconcile(arguments) => commands::reconcile::run(&arguments),
        Task::DeadLetters(task) => commands::dead_letters::run(&task),
        Task::Lanes(task) => commands::lanes::run(&task),
        Task::Restored { by } => commands::restored::run(by),
    }
}
