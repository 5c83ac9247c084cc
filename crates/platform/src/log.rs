//! Structured logs: one JSON object a line on standard output.
//!
//! Secrets, tokens, bodies and header values are never logged; ids are.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use domain::timestamp::Timestamp;
use serde_json::{Value, json};

/// How much attention a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Part of normal work.
    Info,
    /// Unusual, dealt with by the service itself.
    Warn,
    /// Somebody has to look: alert rules match this level.
    Error,
}

/// Writes a line with `fields`, an object, to which the time, the level and the component are added.
pub fn line(level: Level, component: &str, message: &str, mut fields: Value) {
    fields["timestamp"] = json!(now().map(|now| now.to_string()));
    fields["level"] = json!(match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    });
    fields["component"] = json!(component);
    fields["message"] = json!(message);
    // A log that cannot be written must not stop the work it tells of.
    let _ = writeln!(std::io::stdout(), "{fields}");
}

fn now() -> Option<Timestamp> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Timestamp::from_unix_micros(i64::try_from(since_epoch.as_micros()).ok()?).ok()
}
