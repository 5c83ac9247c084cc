//! One module for each command.

pub mod build;
pub mod demo;
pub mod down;
pub mod test;
pub mod token;
pub mod up;
