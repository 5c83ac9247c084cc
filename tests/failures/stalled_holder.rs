//! An instance that holds a lane stalls until its lease has ended and another instance has the lane.

use e2e::flow::{ordered, wait_until_settled};
use e2e::replica::Replica;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};

use crate::own_stack::{OwnStack, done};

/// The lease lasts 10 s, the relay comes every 5 s.
const TAKEN_OVER: Limit = Limit::new("a lease runs out and the relay comes", 25);

/// Acknowledgements that are done, begun after a moment; there are none while all is published.
const TOLD: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle' AND query ~ 'publish_turn|publishing_failed'
    AND query_start > $1::text::timestamptz";

#[test]
fn a_stalled_holder_neither_overtakes_nor_hides_what_the_next_published() {
    let stack = OwnStack::start();
    let replica = Replica::of(stack.endpoints());
    let todo = TestUser::random_on(stack.endpoints());
    let through_replica = TestUser::named(todo.user(), replica.endpoints());
    let mut database = todo.database();
    todo.created("1");
    wait_until_settled(&todo, Limit::DELIVERY);

    // The replica holds the lane, and stalls while it waits for its publish to be acknowledged.
    done(stack.daprd().pause());
    through_replica.created("2");
    let holder =
        "SELECT holder FROM publish_queue WHERE user_id = $1 AND held_until > clock_timestamp()";
    let stalled = database.json(holder, &[todo.user()]);
    assert!(stalled.is_string(), "nobody holds the lane");
    replica.pause();
    done(stack.daprd().resume());

    // Others respect the lease: what follows waits.
    todo.created("3");
    assert_eq!(database.json(holder, &[todo.user()]), stalled);
    assert_eq!(database.lane_of(todo.user()), (3, 1));
    todo.settle(TAKEN_OVER);
    todo.created("4");
    todo.settle(Limit::SOON);
    assert!(database.json(holder, &[todo.user()]).is_null());

    // The stalled instance goes on: its publish succeeds or times out.
    let resumed = database.json("SELECT clock_timestamp()", &[]);
    replica.resume();
    until(
        "it tells the lane how far it came",
        Limit::SOON,
        || match database.json(TOLD, &[resumed.as_str().unwrap_or_default()]) {
            told if told == 0 => Err("it has not"),
            _ => Ok(()),
        },
    );
    assert_eq!(database.lane_of(todo.user()), (4, 4));

    // Its acknowledgement does not count any more.
    todo.created("5");
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(database.lane_of(todo.user()), (5, 5));
    assert_eq!(ordered(&todo).len(), 5);
    let counted = "SELECT sum(count) FROM analytics_daily WHERE user_id = $1";
    assert_eq!(database.json(counted, &[todo.user()]), 5);
}
