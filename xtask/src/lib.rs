//! Developer commands.

pub mod bench;
pub mod dead_letters;
pub mod deployment;
pub mod lanes;
pub mod replay;
