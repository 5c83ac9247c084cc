//! Puts lanes into states that are hard to reach from outside.

use crate::test_user::TestUser;

/// Gives a user's lane to a holder that will never do anything. The user must have a lane, and all be published.
pub fn take(todo: &TestUser) {
    change(
        todo,
        "INSERT INTO publish_queue (user_id, turn_at, since, holder, held_until)
        SELECT user_id, clock_timestamp(), '-infinity', gen_random_uuid(), clock_timestamp() + interval '1 hour'
        FROM lanes WHERE user_id = $1",
    );
}

/// Ends the lease of the user's lane.
pub fn expire_lease(todo: &TestUser) {
    change(
        todo,
        "UPDATE publish_queue SET held_until = clock_timestamp() WHERE user_id = $1",
    );
}

/// Ends the rest of a blocked lane.
pub fn unblock(todo: &TestUser) {
    change(
        todo,
        "UPDATE publish_queue SET turn_at = clock_timestamp() WHERE user_id = $1",
    );
}

/// The member of an event's data that no sidecar can read.
pub const UNREADABLE: &str = "nest";

/// Makes an event, by its number, one that no sidecar can read: nested too deep.
pub fn make_unreadable(todo: &TestUser, number: u32) {
    let nest = "repeat('[', 10100) || repeat(']', 10100)";
    change(
        todo,
        &format!(
            "UPDATE events SET data = data || jsonb_build_object('{UNREADABLE}', ({nest})::jsonb)
            WHERE user_id = $1 AND sequence = {number}"
        ),
    );
}

/// Takes back what [`make_unreadable`] did.
pub fn make_readable(todo: &TestUser, number: u32) {
    change(
        todo,
        &format!(
            "UPDATE events SET data = data - '{UNREADABLE}' WHERE user_id = $1 AND sequence = {number}"
        ),
    );
}

/// Changes one row by a statement whose only parameter is the user.
pub fn change(todo: &TestUser, statement: &str) {
    let user = todo.user();
    match todo.database().client().execute(statement, &[&user]) {
        Ok(1) => {}
        other => panic!("{other:?}: {statement}"),
    }
}
