//! recurrence-handler
