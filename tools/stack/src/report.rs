//! What a command prints as it goes.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Prints each step of a command with the seconds since the command began.
///
/// Cheap to copy, so that steps that run at the same time print to one clock.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    began: Instant,
    quiet: bool,
}

impl Report {
    /// Starts the clock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            quiet: false,
        }
    }

    /// A report that prints nothing, for tests that start a stack of their own.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            began: Instant::now(),
            quiet: true,
        }
    }

    /// Prints one line: elapsed seconds and what is being done or has been done.
    pub fn step(&self, what: impl Display) {
        if !self.quiet {
            println!("[{:>6.1} s] {what}", self.elapsed().as_secs_f64());
        }
    }

    /// Prints text as it is, without the clock.
    pub fn say(&self, what: impl Display) {
        if !self.quiet {
            println!("{what}");
        }
    }

    /// Time since the command began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}
