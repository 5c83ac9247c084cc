//! Types and rules of the Todo service, without I/O: what a valid task is, what its events say, when the next
//! instance of a recurring task is due, when a reminder is.
//!
//! Values are parsed once, at the edge, into types that cannot hold what is invalid. Nothing here knows about HTTP,
//! SQL or WebAssembly, so all of it is tested natively.

#![forbid(unsafe_code)]

pub mod batch;
pub mod calendar_secret;
pub mod change_feed;
pub mod date_range;
pub mod dead_letter;
pub mod duration;
pub mod entity_tag;
pub mod event;
pub mod icalendar;
pub mod idempotency_key;
pub mod notification_list;
pub mod operator_actions;
pub mod operator_lists;
pub mod page;
pub mod query;
pub mod recurrence;
pub mod reminder;
pub mod rule;
pub mod snooze;
pub mod task;
pub mod task_fields;
pub mod task_list;
pub mod timestamp;
pub mod user_id;
pub mod violation;
pub mod wall_clock;
