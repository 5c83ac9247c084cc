//! The statements that read lists. Their shape varies with the request, so they are no functions of the database. They
//! stand here and not in their component so that tests can run them natively.

pub mod notifications;
pub mod tasks;
