//! What the components share: PostgreSQL, the Dapr sidecar, authentication, HTTP messages, logging.
//!
//! Adapters only. Rules of the service live in `domain`; the statements of a component live with the component, but
//! for the tail that every statement with an event has ([`outbox`]).

pub mod app_token;
pub mod bearer_token;
pub mod breaker;
pub mod calendar;
pub mod configuration;
pub mod database;
pub mod delivery;
mod hs256;
pub mod http;
pub mod log;
pub mod outbox;
pub mod problem;
pub mod publisher;
pub mod reminders;
pub mod sidecar;
pub mod trace_context;
