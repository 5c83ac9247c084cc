//! Developer commands, and the local stack they and the end-to-end tests run on.
//!
//! [`stack::StackOptions`] starts a stack, [`endpoints::Endpoints`] says where it listens, and
//! [`kafka`] reads what passed on its topics.

pub mod asyncapi;
pub mod bench;
mod build_cache;
pub mod cargo;
pub mod components;
mod dapr_resources;
pub mod dead_letters;
pub mod debian_toolchain;
pub mod deployment;
pub mod endpoints;
pub mod fuzz;
pub mod interrupt;
pub mod kafka;
pub mod kafka_programs;
pub mod lanes;
pub mod net;
pub mod ports;
pub mod postgres_programs;
mod postgres_server;
pub mod process;
pub mod programs;
pub mod replay;
pub mod report;
pub mod running;
pub mod service;
mod services;
pub mod stack;
pub mod token;
pub mod wasm_target;
pub mod workspace;
