//! Adapters shared by the components.
