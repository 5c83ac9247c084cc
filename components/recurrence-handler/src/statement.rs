//! The SQL of this component: statements, each a transaction of its own.

use platform::outbox::EMITTED;

/// Claims an event that no successor follows: `$1` event.
pub(crate) const CLAIM: &str = "
WITH claim AS (
    INSERT INTO processed_events (handler, event_id) VALUES ('recurrence', $1::text::uuid)
    ON CONFLICT DO NOTHING
)
SELECT 'null'";

/// Creates a successor: `$6` user, `$7` completed task, `$8` event, `$9` the successor's id, `$10` the completed task's
/// number in its series, `$11` the successor's fields.
///
/// The event is claimed first, so a redelivery changes nothing. The completed task is locked: if it is deleted
/// meanwhile, there is no successor. The successor's natural key outlives both tasks, so that neither reopening nor
/// deleting makes a second one. Each later part reads only what the one before returned.
pub(crate) fn create_successor() -> String {
    format!(
        "WITH claim AS (
            INSERT INTO processed_events (handler, event_id) VALUES ('recurrence', $8::text::uuid)
            ON CONFLICT DO NOTHING
            RETURNING event_id
        ), completed AS (
            SELECT task.id
            FROM claim, tasks AS task
            WHERE task.id = $7::text::uuid AND task.user_id = $6
            FOR KEY SHARE OF task
        ), successor AS (
            INSERT INTO task_successors (task_id, occurrence, successor_id)
            SELECT completed.id, $10::bigint::integer, $9::text::uuid FROM completed
            ON CONFLICT DO NOTHING
            RETURNING successor_id
        ), created AS (
            INSERT INTO tasks AS task (
                id, user_id, title, description, priority, tags, due_date, timezone, is_recurring,
                recurring_interval, series_id, occurrence, anchor_day, created_at, updated_at
            )
            SELECT
                successor.successor_id, $6, fields.title, fields.description, fields.priority, fields.tags,
                fields.due_date, fields.timezone, fields.is_recurring, fields.recurring_interval, fields.series_id,
                fields.occurrence, fields.anchor_day, now(), now()
            FROM successor, jsonb_populate_record(NULL::tasks, $11::text::jsonb) AS fields
            RETURNING task
        ), change AS (
            SELECT
                (task).user_id, (task).id AS task_id, 'task.created' AS type, 'tasks' AS topic,
                task_data(task) AS data
            FROM created
        )
        SELECT jsonb_build_object('emitted', {EMITTED})::text"
    )
}
