//! devhost does what Spin does. Run by `cargo xtask test`, which builds the components in `tests/guests`, and sets
//! `DEVHOST_TEST_GUESTS` (their folder) and `DATABASE_URL`.

mod host;
mod outbound;
mod serving;
mod sql;
