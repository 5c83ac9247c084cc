//! What handlers keep besides tasks: reminders and their alarm clocks, notifications, analytics, dead letters; how long
//! rows are kept, and what an outage of the scheduler or of Postgres does to all of it.

mod alarm_clock;
mod analytics;
mod cancelling;
mod dead_letters;
mod firing;
mod notifications;
mod replay;
mod scheduling;
mod support;
