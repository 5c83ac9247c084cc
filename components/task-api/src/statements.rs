//! The SQL of this component. Each statement is a transaction of its own; see `platform::outbox` for the end of those
//! that emit an event, whose parameters come first.

use domain::task_list::{SortKey, TaskQuery};
use domain::user_id::UserId;
use platform::database::{number, optional_text, text};
use platform::outbox::EMITTED;
use spin_sdk::pg4::ParameterValue;

/// A statement from its beginning, whose CTEs end with `outcome` (a name), `result` (a task or nothing) and `change`.
pub(crate) fn emitting(beginning: &str) -> String {
    format!(
        "{beginning}
        SELECT jsonb_build_object(
            'outcome', (SELECT name FROM outcome),
            'task', (SELECT task_json(task) FROM result),
            'emitted', {EMITTED}
        )::text"
    )
}

/// Reads a task: `$1` user, `$2` task.
pub(crate) const READ: &str = "
SELECT coalesce(
    (SELECT task_json(task) FROM tasks AS task WHERE id = $2::text::uuid AND user_id = $1),
    'null'
)::text";

/// Creates a task: `$6` user, `$7` task, `$8` its fields, `$9` its anchor day; with a key, `$10` key, `$11` hash of the
/// request.
pub(crate) fn create(with_key: bool) -> String {
    // A key is claimed first; who does not get it creates nothing. One that is 24 h old is as good as new.
    let claim = if with_key {
        "claim AS (
            INSERT INTO idempotency_keys AS taken (user_id, key, request_hash, event_id)
            VALUES ($6, $10, $11, $1::text::uuid)
            ON CONFLICT (user_id, key) DO UPDATE SET
                request_hash = excluded.request_hash,
                event_id = excluded.event_id,
                created_at = excluded.created_at
            WHERE taken.created_at <= clock_timestamp() - interval '24 hours'
            RETURNING 1
        )"
    } else {
        "claim AS (SELECT 1)"
    };
    emitting(&format!(
        "WITH {claim}, result AS (
            INSERT INTO tasks AS task (
                id, user_id, title, description, priority, tags, due_date, timezone, is_recurring,
                recurring_interval, series_id, occurrence, anchor_day, created_at, updated_at
            )
            SELECT
                $7::text::uuid, $6, title, description, priority, tags, due_date, timezone, is_recurring,
                recurring_interval, $7::text::uuid, 1, $9::bigint::smallint, now(), now()
            FROM claim, jsonb_populate_record(NULL::tasks, $8::text::jsonb)
            RETURNING task
        ), outcome AS (
            SELECT CASE WHEN EXISTS (SELECT FROM result) THEN 'changed' ELSE 'key_taken' END AS name
        ), change AS (
            SELECT
                (task).user_id, (task).id AS task_id, 'task.created' AS type, 'tasks' AS topic,
                task_data(task) AS data
            FROM result
        )"
    ))
}

/// The first answer to a key: `$1` user, `$2` key, `$3` hash of this request. The task as it was created is in its
/// event.
pub(crate) const FIRST_ANSWER: &str = "
SELECT coalesce(
    (
        SELECT jsonb_build_object(
            'same', taken.request_hash = $3,
            'id', event.task_id,
            'task', event.data - 'task_id' - 'timestamp' || jsonb_build_object('id', event.task_id)
        )
        FROM idempotency_keys AS taken JOIN events AS event ON event.id = taken.event_id
        WHERE taken.user_id = $1
            AND taken.key = $2
            AND taken.created_at > clock_timestamp() - interval '24 hours'
    ),
    'null'
)::text";

/// Changes a task: `$6` user, `$7` task, `$8` new values by field, `$9` array of versions it may be at, or NULL.
///
/// The anchor day is set with the due date: where the date or the zone changes it is `$10`, which was computed for the
/// date `$11` in the zone `$12`; if those are not what the change leads to, the outcome is `date_moved`. Else it stays,
/// so that the 28 February of a series that aims at the 31st keeps aiming there.
pub(crate) fn update() -> String {
    emitting(
        "WITH current AS (
            SELECT task FROM tasks AS task WHERE id = $7::text::uuid AND user_id = $6 FOR UPDATE
        ), patched AS (
            SELECT
                current.task AS old,
                new,
                coalesce((current.task).version = ANY ($9::text::bigint[]), $9 IS NULL) AS matches,
                new.is_recurring = (new.recurring_interval IS NOT NULL) AS is_consistent,
                CASE
                    WHEN (new.due_date, new.timezone)
                        IS NOT DISTINCT FROM ((current.task).due_date, (current.task).timezone)
                    THEN (current.task).anchor_day
                    ELSE $10::bigint::smallint
                END AS anchor_day,
                (new.due_date, new.timezone) IS NOT DISTINCT FROM ((current.task).due_date, (current.task).timezone)
                    OR (new.due_date, new.timezone) IS NOT DISTINCT FROM ($11::text::timestamptz, $12::text)
                    AS has_anchor_day
            FROM current, jsonb_populate_record(current.task, $8::text::jsonb) AS new
        ), difference AS (
            SELECT coalesce(jsonb_agg(new_field.key ORDER BY new_field.key), '[]') AS fields
            FROM patched, jsonb_each(
                task_json(patched.new) || jsonb_build_object('anchor_day', patched.anchor_day)
            ) AS new_field
            WHERE new_field.value IS DISTINCT FROM task_json(patched.old) -> new_field.key
        ), updated AS (
            UPDATE tasks AS task SET
                title = (new).title,
                description = (new).description,
                priority = (new).priority,
                tags = (new).tags,
                due_date = (new).due_date,
                timezone = (new).timezone,
                is_recurring = (new).is_recurring,
                recurring_interval = (new).recurring_interval,
                anchor_day = patched.anchor_day,
                version = task.version + 1,
                updated_at = greatest(now(), task.updated_at)
            FROM patched, difference
            WHERE task.id = (patched.old).id AND matches AND is_consistent AND has_anchor_day AND fields <> '[]'
            RETURNING task, fields
        ), outcome AS (
            SELECT CASE
                WHEN NOT EXISTS (SELECT FROM current) THEN 'not_found'
                WHEN NOT (SELECT matches FROM patched) THEN 'precondition_failed'
                WHEN NOT (SELECT is_consistent FROM patched) THEN 'recurrence_mismatch'
                WHEN NOT (SELECT has_anchor_day FROM patched) THEN 'date_moved'
                WHEN (SELECT fields FROM difference) = '[]' THEN 'unchanged'
                ELSE 'changed'
            END AS name
        ), result AS (
            SELECT task FROM updated
            UNION ALL
            SELECT task FROM current WHERE NOT EXISTS (SELECT FROM updated)
        ), change AS (
            SELECT
                (task).user_id, (task).id AS task_id, 'task.updated' AS type, 'tasks' AS topic,
                task_data(task) || jsonb_build_object('changed_fields', fields) AS data
            FROM updated
        )",
    )
}

/// Completes a task: `$6` user, `$7` task.
///
/// The task as it was is `old`: in a column named `task` it would be what `RETURNING task` returns.
pub(crate) const COMPLETE: &str = "
WITH current AS (
    SELECT task AS old FROM tasks AS task WHERE id = $7::text::uuid AND user_id = $6 FOR UPDATE
), updated AS (
    UPDATE tasks AS task SET
        completed = true,
        completed_at = greatest(now(), task.updated_at),
        version = task.version + 1,
        updated_at = greatest(now(), task.updated_at)
    FROM current
    WHERE task.id = (current.old).id AND NOT (current.old).completed
    RETURNING task
), outcome AS (
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM current) THEN 'not_found'
        WHEN (SELECT (old).completed FROM current) THEN 'unchanged'
        ELSE 'changed'
    END AS name
), result AS (
    SELECT task FROM updated
    UNION ALL
    SELECT old FROM current WHERE NOT EXISTS (SELECT FROM updated)
), change AS (
    SELECT
        (task).user_id, (task).id AS task_id, 'task.completed' AS type, 'tasks' AS topic, task_data(task) AS data
    FROM updated
)";

/// Reopens a task: `$6` user, `$7` task.
pub(crate) const REOPEN: &str = "
WITH current AS (
    SELECT task AS old FROM tasks AS task WHERE id = $7::text::uuid AND user_id = $6 FOR UPDATE
), updated AS (
    UPDATE tasks AS task SET
        completed = false,
        completed_at = NULL,
        version = task.version + 1,
        updated_at = greatest(now(), task.updated_at)
    FROM current
    WHERE task.id = (current.old).id AND (current.old).completed
    RETURNING task
), outcome AS (
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM current) THEN 'not_found'
        WHEN NOT (SELECT (old).completed FROM current) THEN 'unchanged'
        ELSE 'changed'
    END AS name
), result AS (
    SELECT task FROM updated
    UNION ALL
    SELECT old FROM current WHERE NOT EXISTS (SELECT FROM updated)
), change AS (
    SELECT
        (task).user_id, (task).id AS task_id, 'task.updated' AS type, 'tasks' AS topic,
        task_data(task) || jsonb_build_object('changed_fields', jsonb_build_array('completed', 'completed_at')) AS data
    FROM updated
)";

/// Deletes a task: `$6` user, `$7` task. Leaves no task to show.
pub(crate) const DELETE: &str = "
WITH deleted AS (
    DELETE FROM tasks AS task WHERE id = $7::text::uuid AND user_id = $6 RETURNING task
), outcome AS (
    SELECT CASE WHEN EXISTS (SELECT FROM deleted) THEN 'changed' ELSE 'not_found' END AS name
), result AS (
    SELECT task FROM deleted WHERE false
), change AS (
    SELECT
        (task).user_id, (task).id AS task_id, 'task.deleted' AS type, 'tasks' AS topic,
        jsonb_build_object(
            'task_id', (task).id,
            'user_id', (task).user_id,
            'title', (task).title,
            'due_date', rfc3339((task).due_date),
            'was_completed', (task).completed
        ) AS data
    FROM deleted
)";

/// Lists tasks: the statement and its parameters. Only fixed text and parameter numbers go into the statement.
pub(crate) fn list(user: &UserId, query: &TaskQuery) -> (String, Vec<ParameterValue>) {
    // The expressions are those of the indexes; a task without a due date sorts last in either direction.
    let (key, key_text, key_type) = match (query.sort.key, query.sort.descending) {
        (SortKey::CreatedAt, _) => ("created_at", "rfc3339(created_at)", "timestamptz"),
        (SortKey::DueDate, false) => (
            "coalesce(due_date, 'infinity')",
            "rfc3339(due_date)",
            "timestamptz",
        ),
        (SortKey::DueDate, true) => (
            "coalesce(due_date, '-infinity')",
            "rfc3339(due_date)",
            "timestamptz",
        ),
        (SortKey::Priority, _) => ("priority", "priority::text", "priority"),
    };
    let (direction, beyond) = if query.sort.descending {
        ("DESC", "<")
    } else {
        ("ASC", ">")
    };
    let mut parameters = vec![text(user.as_str()), number(i64::from(query.limit))];
    let mut conditions = String::new();
    let mut condition = |condition: &str, parameter: ParameterValue| {
        parameters.push(parameter);
        conditions.push_str(" AND ");
        conditions.push_str(&condition.replace("$n", &format!("${}", parameters.len())));
    };
    if let Some(completed) = query.completed {
        condition("completed = $n", ParameterValue::Boolean(completed));
    }
    if let Some(priority) = query.priority {
        condition("priority = $n::text::priority", text(priority.as_str()));
    }
    if let Some(tags) = &query.tags {
        let tags = tags.iter().cloned().map(Some).collect();
        condition("tags && $n::text[]", ParameterValue::ArrayStr(tags));
    }
    if let Some(instant) = query.due_before {
        condition(
            "due_date < $n::text::timestamptz",
            text(instant.to_string()),
        );
    }
    if let Some(instant) = query.due_after {
        condition(
            "due_date > $n::text::timestamptz",
            text(instant.to_string()),
        );
    }
    if let Some(words) = &query.text {
        let pattern = words
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        condition(
            "(title ILIKE $n OR description ILIKE $n)",
            text(format!("%{pattern}%")),
        );
    }
    if let Some(after) = &query.after {
        parameters.push(optional_text(after.key.clone()));
        let key_parameter = key.replace(
            "due_date",
            &format!("${}::text::{key_type}", parameters.len()),
        );
        let key_parameter = match query.sort.key {
            SortKey::DueDate => key_parameter,
            SortKey::CreatedAt | SortKey::Priority => {
                format!("${}::text::{key_type}", parameters.len())
            }
        };
        parameters.push(text(after.id));
        conditions.push_str(&format!(
            " AND ({key}, id) {beyond} ({key_parameter}, ${}::text::uuid)",
            parameters.len()
        ));
    }
    let statement = format!(
        "WITH page AS (
            SELECT task, {key_text} AS key, row_number() OVER (ORDER BY {key} {direction}, id {direction}) AS place
            FROM tasks AS task
            WHERE user_id = $1{conditions}
            ORDER BY {key} {direction}, id {direction}
            LIMIT $2::bigint + 1
        )
        SELECT jsonb_build_object(
            'tasks', coalesce(
                (SELECT jsonb_agg(task_json(task) ORDER BY place) FROM page WHERE place <= $2::bigint), '[]'
            ),
            'last', (
                SELECT jsonb_build_object('k', key, 'i', (task).id)
                FROM page
                WHERE place = $2::bigint AND EXISTS (SELECT FROM page WHERE place > $2::bigint)
            )
        )::text"
    );
    (statement, parameters)
}
