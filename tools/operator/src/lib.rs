//! What an operator can do about a running service, which is reached by its [`deployment::Deployment`]: its database and its
//! sidecar. Needs neither a clone of the repository nor a toolchain.

pub mod dead_letters;
pub mod deployment;
pub mod lanes;
pub mod replay;
