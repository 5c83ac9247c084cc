//! What handlers keep besides tasks: reminders and their alarm clocks, notifications, analytics, dead letters; how long
//! rows are kept, and what an outage of the scheduler or of Postgres does to all of it.

mod alarm_clock;
mod analytics;
mod cancelling;
mod dead_letters;
mod dead_letters_resolved;
mod deadlock;
mod firing;
mod notifications;
mod postgres_outage;
mod replay;
mod retention;
mod scheduler_outage;
mod scheduling;
mod several;
mod snoozing;
mod stale;
mod support;
