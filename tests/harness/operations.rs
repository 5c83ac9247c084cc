//! What operators do, on a stack of the tests.

use operator::deployment::Deployment;
use stack::endpoints::Endpoints;

/// A stack, as `todo-operator` reaches it.
#[must_use]
pub fn deployment(stack: &Endpoints) -> Deployment {
    Deployment::new(
        &stack.database_url,
        &stack.dapr_url,
        &stack.secrets.dapr_token,
    )
}
