//! What the load is asked to do, for whoever asks: `tools/bench`.

pub mod plan;
