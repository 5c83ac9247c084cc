//! Ctrl-C, SIGTERM and SIGHUP: remembered, and looked at wherever a command waits.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// Exit code of a command that a signal ended before it was done, as shells use for Ctrl-C.
const EXIT_CODE: u8 = 130;

/// From here on a first signal lets the command stop what it started; a third ends it at once
/// (what it started ends with it, see [`crate::process`]).
///
/// # Errors
/// When the handler cannot be installed.
pub fn listen() -> Result<()> {
    ctrlc::set_handler(|| {
        if SIGNALS.fetch_add(1, Ordering::SeqCst) >= 2 {
            std::process::exit(EXIT_CODE.into());
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether a signal to stop has arrived.
#[must_use]
pub fn requested() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}

/// Ends a wait once a signal to stop has arrived.
///
/// # Errors
/// When it has.
pub fn check() -> Result<()> {
    if requested() {
        bail!("interrupted");
    }
    Ok(())
}

/// Says how a command ended, unless all went well, and with which code to exit.
#[must_use]
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if requested() => {
            eprintln!("\nStopped before it was done; nothing is left running.");
            ExitCode::from(EXIT_CODE)
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
