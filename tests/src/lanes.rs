//! Lanes in states that are hard to bring about from outside.

use crate::todo::Todo;

/// Gives a user's lane to a holder that will never do anything. The user must have a lane, and all be published.
pub fn take(todo: &Todo) {
    change(
        todo,
        "INSERT INTO publish_queue (user_id, turn_at, since, holder, held_until)
        SELECT user_id, clock_timestamp(), '-infinity', gen_random_uuid(), clock_timestamp() + interval '1 hour'
        FROM lanes WHERE user_id = $1",
    );
}

/// Lets the time run out for which the user's lane is held.
pub fn expire_lease(todo: &Todo) {
    change(
        todo,
        "UPDATE publish_queue SET held_until = clock_timestamp() WHERE user_id = $1",
    );
}

/// Ends the rest of a blocked lane.
pub fn unblock(todo: &Todo) {
    change(
        todo,
        "UPDATE publish_queue SET turn_at = clock_timestamp() WHERE user_id = $1",
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
