//! The manifests in `k8s/`: rendered, valid, and agreeing with each other and with the rest of the repository.

mod asyncapi;
mod dapr;
mod database;
mod kafka;
mod layer;
mod migrations;
mod network;
mod pods;
mod routes;
mod secrets;
mod settings;
mod valid;
mod versions;
