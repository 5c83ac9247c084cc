//! The database answers and takes writes, but is not what this version needs.

use e2e::database::Database;
use e2e::test_user::TestUser;
use e2e::wait::{Limit, until};

use crate::own_stack::OwnStack;

fn change(stack: &OwnStack, statement: &str) {
    if let Err(error) = Database::of(stack.endpoints())
        .client()
        .batch_execute(statement)
    {
        panic!("{error:?}: {statement}");
    }
}

/// Sets how new transactions of the database are isolated, and ends the sessions that do otherwise.
fn isolate(stack: &OwnStack, setting: &str) {
    change(
        stack,
        &format!(
            "DO $$ BEGIN
                EXECUTE format($set$ALTER DATABASE %I {setting}$set$, current_database());
                PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'task-api-probe';
            END $$"
        ),
    );
}

#[test]
fn the_app_is_not_ready_without_its_functions_or_read_committed() {
    let stack = OwnStack::start();
    let todo = TestUser::random_on(stack.endpoints());
    let status = |route: &str| todo.call("GET", route).authorization(None).send().status;
    let becomes = |expected: u16| {
        until("readiness is told anew", Limit::SOON, || {
            match status("/readyz") {
                found if found == expected => Ok(()),
                found => Err(found),
            }
        });
    };
    assert_eq!(status("/readyz"), 200);

    // As if the migration of this version had not been applied: a function, or one of its parameters, is not there.
    change(
        &stack,
        "ALTER FUNCTION reopen_task RENAME TO reopen_task_later",
    );
    becomes(503);
    // Deliveries may need other functions, so they go on.
    assert_eq!(status("/readyz/deliveries"), 200);
    change(
        &stack,
        "ALTER FUNCTION reopen_task_later RENAME TO reopen_task",
    );
    becomes(200);
    change(
        &stack,
        "ALTER FUNCTION reopen_task RENAME TO reopen_task_later;
        CREATE FUNCTION reopen_task(user_id text, task_id uuid, outbox jsonb) RETURNS jsonb LANGUAGE sql
            RETURN reopen_task_later(user_id, task_id, outbox)",
    );
    becomes(503);
    change(
        &stack,
        "DROP FUNCTION reopen_task; ALTER FUNCTION reopen_task_later RENAME TO reopen_task",
    );
    becomes(200);

    // A later version may have added what this one does not ask for.
    change(
        &stack,
        "ALTER FUNCTION rest_reminder RENAME TO rest_reminder_before;
        CREATE FUNCTION rest_reminder(task_id uuid, longer boolean DEFAULT false) RETURNS jsonb LANGUAGE sql
            RETURN rest_reminder_before(task_id)",
    );
    assert_eq!(status("/readyz"), 200);

    isolate(
        &stack,
        "SET default_transaction_isolation = 'repeatable read'",
    );
    becomes(503);
    isolate(&stack, "RESET default_transaction_isolation");
    becomes(200);
}
