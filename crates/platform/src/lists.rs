//! The statements that read lists. Their shape varies with the request, so they are not database functions. They are
//! here and not in a component, so that tests can run them natively.

pub mod notifications;
pub mod tasks;
