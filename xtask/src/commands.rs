//! One module for each command.

pub mod bench;
pub mod build;
pub mod dead_letters;
pub mod demo;
pub mod demo_reminders;
pub mod down;
pub mod lanes;
pub mod reconcile;
pub mod replay;
pub mod restored;
pub mod test;
pub mod token;
pub mod up;
