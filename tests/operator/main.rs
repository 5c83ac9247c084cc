//! What an operator sees and does over the API: who is one, dead letters, and an overview. Lanes that rest are in
//! `tests/failures/operators_lane.rs`, and what the database tells of many rows in `tests/database/operator.rs`.

mod dead_letters;
mod description;
mod overview;
mod roles;
mod support;
