//! What the components share: PostgreSQL, the Dapr sidecar, authentication, HTTP messages, logging.
//!
//! Adapters only. Rules of the service live in `domain`; statements that change something are database functions
//! (`migrations/functions`, [`call`]); statements that read lists are in [`lists`]; any other statement that only reads
//! stands in its component.

pub mod app_token;
pub mod authorization;
pub mod bearer_token;
pub mod breaker;
pub mod calendar;
pub mod call;
pub mod client;
pub mod configuration;
pub mod database;
pub mod delivery;
pub mod event_stream;
pub mod functions;
pub mod handler;
pub mod http;
pub mod issuer;
pub mod lists;
pub mod log;
mod outbound;
pub mod outbox;
pub mod parameter;
pub mod problem;
pub mod publisher;
pub mod random;
pub mod reminders;
pub mod sidecar;
mod signatures;
pub mod signing_keys;
pub mod trace_context;
