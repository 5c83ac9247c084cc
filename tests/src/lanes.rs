//! Lanes in states that are hard to bring about from outside.

use crate::todo::Todo;

/// Gives a user's lane to a holder that will never do anything. The user must have a lane.
pub fn take(todo: &Todo) {
    change(
        todo,
        "UPDATE lanes SET lease_token = gen_random_uuid(), leased_until = clock_timestamp() + interval '1 hour'
        WHERE user_id = $1",
    );
}

/// Lets the lease of the user's lane run out.
pub fn expire_lease(todo: &Todo) {
    change(
        todo,
        "UPDATE lanes SET leased_until = clock_timestamp() WHERE user_id = $1",
    );
}

/// Ends the rest of a blocked lane.
pub fn unblock(todo: &Todo) {
    change(
        todo,
        "UPDATE lanes SET blocked_until = clock_timestamp() WHERE user_id = $1",
    );
}

/// Changes one row by a statement whose only parameter is the user.
pub fn change(todo: &Todo, statement: &str) {
    let user = todo.user();
    match todo.database().client().execute(statement, &[&user]) {
        Ok(1) => {}
        other => panic!("{other:?}: {statement}"),
    }
}
