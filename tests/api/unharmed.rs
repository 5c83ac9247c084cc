//! What must hold after any request that was refused.

use e2e::test_user::TestUser;
use e2e::wait::Limit;

/// Requires that `requests` change nothing that is stored of the user.
pub fn unchanged(todo: &TestUser, requests: impl FnOnce()) {
    todo.settle(Limit::DELIVERY);
    let before = todo.rows();
    requests();
    assert_eq!(todo.rows(), before);
}
