//! event-relay
