//! What must hold after any request that was refused.

use e2e::todo::Todo;
use e2e::wait::Limit;

/// Requires that `requests` change nothing that is stored of the user.
pub fn unchanged(todo: &Todo, requests: impl FnOnce()) {
    todo.settle(Limit::DELIVERY);
    let before = todo.rows();
    requests();
    assert_eq!(todo.rows(), before);
}
