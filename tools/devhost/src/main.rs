//! Development host.
fn main() {}
