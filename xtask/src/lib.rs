//! Developer commands, and the local stack they and the end-to-end tests run on.

pub mod cargo;
pub mod components;
pub mod debian_toolchain;
pub mod interrupt;
pub mod process;
pub mod report;
pub mod wasm_target;
pub mod workspace;
