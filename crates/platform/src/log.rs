//! Structured logs: one JSON object a line on standard output.
//!
//! Secrets, tokens, bodies and header values are never logged; ids are.
//!
//! Lines are collected and written when the instance has done its work, because a write costs the host more than a
//! small request. A line at `error` is written at once, with the lines before it, so that it is not lost if the
//! instance is killed.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use domain::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::configuration;
use crate::http::{Request, method_name};

/// Lines that are not written yet.
static LINES: Mutex<String> = Mutex::new(String::new());

/// How much attention a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A request, a delivery or an event where all is well: written where the variable `log_level` is `debug`.
    Debug,
    /// Part of normal work.
    Info,
    /// Unusual, dealt with by the service itself.
    Warn,
    /// Somebody has to look: alert rules match this level.
    Error,
}

/// Collects the lines that are logged; writes them when it is dropped.
pub struct Lines(());

/// Begins to collect lines. The entry of a component holds the result for as long as it works.
#[must_use]
pub fn collect() -> Lines {
    Lines(())
}

impl Drop for Lines {
    fn drop(&mut self) {
        write();
    }
}

fn write() {
    let lines = std::mem::take(&mut *LINES.lock().unwrap_or_else(PoisonError::into_inner));
    if !lines.is_empty() {
        // A log that cannot be written must not stop the work that it reports.
        let _ = std::io::stdout().write_all(lines.as_bytes());
    }
}

/// Whether lines at `debug` are wanted.
fn is_verbose() -> bool {
    static VERBOSE: OnceLock<bool> = OnceLock::new();
    *VERBOSE
        .get_or_init(|| configuration::variable("log_level").is_ok_and(|level| level == "debug"))
}

/// Logs a line with `fields`, an object, to which the time, the level and the component are added.
pub fn line(level: Level, component: &str, message: &str, mut fields: Value) {
    if level == Level::Debug && !is_verbose() {
        return;
    }
    fields["timestamp"] = json!(now().map(|now| now.to_string()));
    fields["level"] = json!(match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    });
    fields["component"] = json!(component);
    fields["message"] = json!(message);
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.push_str(&fields.to_string());
    lines.push('\n');
    drop(lines);
    if level == Level::Error {
        write();
    }
}

/// The log line about a client's request, which is filled while the request is answered.
pub struct RequestLog {
    /// The line's fields, an object.
    pub fields: Value,
    component: &'static str,
    start: Instant,
    /// The other lines, which are written when all is done.
    _lines: Lines,
}

impl RequestLog {
    /// Begins with what is known before the request is looked at: its method and its trace.
    #[must_use]
    pub fn begin(component: &'static str, request: &Request) -> Self {
        Self {
            fields: json!({
                "method": method_name(request.method()),
                "traceparent": request.traceparent(),
            }),
            component,
            start: Instant::now(),
            _lines: collect(),
        }
    }

    /// Logs that the request was answered. `cause` is what went wrong inside, if something did.
    pub fn answered(&mut self, status: u16, cause: Option<String>) {
        let mut fields = std::mem::take(&mut self.fields);
        fields["status"] = json!(status);
        fields["outcome"] = json!(if status < 400 { "done" } else { "refused" });
        fields["duration_ms"] = json!(self.start.elapsed().as_millis() as u64);
        let level = match (&cause, status) {
            // An outage, which the service overcomes by itself, or a stream that broke off.
            (Some(_), 200 | 503) => Level::Warn,
            (Some(_), _) => Level::Error,
            (None, _) => Level::Debug,
        };
        if let Some(cause) = cause {
            fields["error"] = json!(cause);
        }
        line(level, self.component, "request", fields);
    }
}

fn now() -> Option<Timestamp> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Timestamp::from_unix_micros(i64::try_from(since_epoch.as_micros()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_written_when_the_work_is_done() {
        let waiting = || LINES.lock().unwrap().lines().count();
        let lines = collect();
        line(Level::Info, "test", "one", json!({}));
        line(Level::Warn, "test", "two", json!({}));
        assert_eq!(waiting(), 2);
        line(Level::Error, "test", "at once", json!({}));
        assert_eq!(waiting(), 0);
        line(Level::Info, "test", "three", json!({}));
        assert_eq!(waiting(), 1);
        drop(lines);
        assert_eq!(waiting(), 0);
    }
}
