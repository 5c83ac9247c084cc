//! Parts that fail: nothing is lost, nothing is done twice, each user's events stay in order.
//!
//! Each test has a stack of its own.

mod app_killed;
mod blocked_lane;
mod database_outage;
mod flat;
mod follower;
mod gauges;
mod hanging;
mod killed_under_load;
mod lag;
mod large;
mod operators_lane;
mod own_stack;
mod partly;
mod places;
mod pods_end;
mod read_only;
mod replay_all;
mod restored;
mod sidecar_gone;
mod stalled_holder;
mod stalled_subscription;
mod thousand_streams;
mod traces;
mod unready;
