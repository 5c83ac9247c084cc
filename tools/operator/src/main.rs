//! `todo-operator …`: what an operator can do about a running service. Which one, the environment says: `DATABASE_URL`,
//! `DAPR_HTTP_ENDPOINT` and `DAPR_API_TOKEN`.

mod commands;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use commands::ME;

/// Exit code of a command that a signal ended, as shells use for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// What an operator can do about a running service, the one of DATABASE_URL, DAPR_HTTP_ENDPOINT [default:
/// http://127.0.0.1:3500] and DAPR_API_TOKEN.
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
    /// Give a database that was restored to the past numbers that nobody has seen, before the service starts
    Restored {
        /// By how much; more than the events that any user can have had in the time that was undone
        #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1..))]
        by: i64,
    },
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
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: String,
}

#[derive(Args)]
struct ReconcileArguments {
    /// From when on, in RFC 3339, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = instant)]
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
