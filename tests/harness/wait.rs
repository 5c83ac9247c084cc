//! Waiting for a condition.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

/// For how long to wait, and what that time is for.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    name: &'static str,
    duration: Duration,
}

impl Limit {
    /// What the service does right after its answer: a log line, a publish.
    pub const SOON: Self = Self::new("soon", 10);
    /// An event travels through sidecar, broker and handler.
    pub const DELIVERY: Self = Self::new("a delivery", 20);
    /// What was left behind is picked up: runs of the relay, back-off of the breaker, retries of the sidecar.
    pub const RECOVERY: Self = Self::new("a recovery", 60);

    /// A limit with a name, for failures to say.
    pub const fn new(name: &'static str, seconds: u64) -> Self {
        Self {
            name,
            duration: Duration::from_secs(seconds),
        }
    }

    /// How long it is.
    pub const fn duration(self) -> Duration {
        self.duration
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({} s)", self.name, self.duration.as_secs())
    }
}

/// Checks again and again until `check` succeeds, and returns what it found. Until then `check` returns what it saw
/// instead.
///
/// # Panics
///
/// When `limit` is over; the message holds `what` was waited for and what was seen last.
pub fn until<T, S: fmt::Display>(
    what: &str,
    limit: Limit,
    mut check: impl FnMut() -> Result<T, S>,
) -> T {
    let began = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        match check() {
            Ok(found) => return found,
            Err(seen) if began.elapsed() > limit.duration => {
                panic!("{what}: not within {limit}; seen last: {seen}");
            }
            Err(_) => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        }
    }
}
