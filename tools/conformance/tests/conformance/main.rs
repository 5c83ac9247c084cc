//! The host does what this project relies on.

mod outbound;
mod serving;
mod sql;
