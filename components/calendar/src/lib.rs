//! Date arithmetic in time zones, with a bundled IANA time-zone database.
//!
//! A WebAssembly component without HTTP that exports `todo:calendar/calendar` (see `wit/calendar.wit`). The rules are
//! in [`recurrence`], the names in [`time_zone`]; both are plain Rust and tested on the host. Every input has an answer
//! or an error, never a trap.

#[cfg(target_family = "wasm")]
mod component;
pub mod recurrence;
pub mod time_zone;

#[cfg(test)]
mod tests;
