//! reminder-handler
