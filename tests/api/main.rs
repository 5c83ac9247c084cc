//! What clients and the sidecar see of the service: every route with its success and each of its errors, malformed
//! input, and the events that changes emit.

mod asyncapi;
mod authentication;
mod batch;
mod calendar;
mod change_streams;
mod changes;
mod changing;
mod completing;
mod creating;
mod deleting;
mod errors;
mod events;
mod health;
mod idempotency_key;
mod indexes;
mod issuer;
mod listing;
mod logging;
mod malformed_bodies;
mod malformed_targets;
mod merge_patch;
mod monitoring;
mod one_row;
mod openapi;
mod pages;
mod paging;
mod reading;
mod recurring;
mod rotation;
mod rules;
mod scratch;
mod sidecar_apis;
mod sidecar_routes;
mod unharmed;
