//! The relay publishes lanes whose holder is gone.

use e2e::flow::{ordered, wait_until_settled};
use e2e::lanes;
use e2e::test_user::TestUser;
use e2e::wait::Limit;

/// The relay comes every 5 s.
const RELAYED: Limit = Limit::new("the relay", 10);

#[test]
fn the_relay_publishes_what_a_holder_left_behind_once_the_lease_is_over() {
    let todo = TestUser::random();
    todo.created("1");
    wait_until_settled(&todo, Limit::DELIVERY);
    lanes::take(&todo);
    todo.created("2");
    todo.created("3");
    assert_eq!(todo.database().lane_of(todo.user()), (3, 1));
    lanes::expire_lease(&todo);
    todo.settle(RELAYED);
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(ordered(&todo).len(), 3);
}

/// The first publisher after a lease has ended, here a request, publishes what was left before its own event.
#[test]
fn a_request_that_finds_the_lane_free_begins_with_what_was_left() {
    let todo = TestUser::random();
    todo.created("1");
    wait_until_settled(&todo, Limit::DELIVERY);
    lanes::take(&todo);
    for number in 2..40 {
        todo.created(&number.to_string());
    }
    assert_eq!(todo.database().lane_of(todo.user()), (39, 1));
    lanes::expire_lease(&todo);
    todo.created("40");
    wait_until_settled(&todo, Limit::DELIVERY);
    assert_eq!(ordered(&todo).len(), 40);
}
