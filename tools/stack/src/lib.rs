//! The whole service on this machine, for whoever needs one: the developer commands, the end-to-end tests, the measuring.
//!
//! [`StackOptions`] starts a stack, [`endpoints::Endpoints`] says where it listens, and [`kafka`] reads what passed on its
//! topics. What it starts are [`programs`], found or built.

pub mod asyncapi;
pub mod browser;
mod dapr_resources;
pub mod endpoints;
mod folders;
pub mod fuzz;
pub mod interrupt;
pub mod kafka;
pub mod net;
pub mod ports;
pub mod postgres_server;
pub mod process;
pub mod programs;
pub mod report;
pub mod running;
pub mod service;
mod services;
mod stack;
pub mod token;
pub mod workspace;

pub use crate::stack::{Replica, Stack, StackOptions};
