//! The SQL of this component. Each statement is a transaction of its own; see `platform::outbox` for the end of those
//! that emit an event, whose parameters come first.

use platform::outbox::EMITTED;
use platform::reminders::ALARM;

/// Applies a task event: `$6` user, `$7` task, `$8` event, `$9` its number, `$10` the moment wanted or NULL, `$11` due
/// date, `$12` the reason where no moment is wanted.
///
/// The event is claimed first, so that a redelivery changes nothing but still tells the alarm, in case a crash came
/// before it was set. An event that is older than the last one applied changes nothing either. What changed is decided
/// under the row's lock, in `last_outcome`. A task that wants no reminder gets a row too: an older event that was a dead
/// letter and is replayed must find the number that came after it.
pub(crate) fn apply() -> String {
    format!(
        "WITH claim AS (
            INSERT INTO processed_events (handler, event_id) VALUES ('reminder', $8::text::uuid)
            ON CONFLICT DO NOTHING
            RETURNING event_id
        ), wanted AS (
            SELECT $10::text::timestamptz AS moment, $11::text::timestamptz AS due_date FROM claim
        ), applied AS (
            INSERT INTO reminders AS reminder
                (task_id, user_id, sequence, status, remind_at, due_date, last_outcome, alarm_wanted)
            SELECT
                $7::text::uuid,
                $6,
                $9::bigint,
                CASE WHEN moment IS NULL THEN 'cancelled' ELSE 'scheduled' END,
                moment,
                due_date,
                CASE WHEN moment IS NULL THEN 'none' ELSE 'scheduled' END,
                moment
            FROM wanted
            ON CONFLICT (task_id) DO UPDATE SET
                sequence = excluded.sequence,
                due_date = excluded.due_date,
                updated_at = clock_timestamp(),
                (status, remind_at, alarm_wanted, last_outcome) = (
                    SELECT
                        next.status,
                        coalesce(excluded.remind_at, reminder.remind_at),
                        CASE WHEN next.status = 'scheduled' THEN excluded.remind_at END,
                        CASE
                            WHEN next.status = reminder.status
                                AND (next.status <> 'scheduled' OR reminder.remind_at = excluded.remind_at)
                            THEN 'none'
                            ELSE next.status
                        END
                    FROM (
                        SELECT CASE
                            -- What has triggered stays so: it is neither taken back nor repeated.
                            WHEN excluded.remind_at IS NULL AND reminder.status = 'triggered' THEN 'triggered'
                            WHEN excluded.remind_at IS NULL THEN 'cancelled'
                            WHEN reminder.status = 'triggered' AND reminder.remind_at = excluded.remind_at
                            THEN 'triggered'
                            ELSE 'scheduled'
                        END AS status
                    ) AS next
                )
            WHERE reminder.sequence < excluded.sequence
            RETURNING reminder
        ), change AS (
            SELECT
                (reminder).user_id,
                (reminder).task_id,
                'reminder.' || (reminder).last_outcome AS type,
                'reminders' AS topic,
                jsonb_build_object('task_id', (reminder).task_id, 'user_id', (reminder).user_id) || CASE
                    WHEN (reminder).status = 'scheduled' THEN jsonb_build_object(
                        'remind_at', rfc3339((reminder).remind_at), 'due_date', rfc3339((reminder).due_date)
                    )
                    ELSE jsonb_build_object('reason', $12::text)
                END AS data
            FROM applied
            WHERE (reminder).last_outcome <> 'none'
        )
        SELECT jsonb_build_object(
            'emitted', {EMITTED},
            'alarm', coalesce(
                (SELECT {ALARM} FROM applied),
                (SELECT {ALARM} FROM reminders AS reminder WHERE task_id = $7::text::uuid)
            )
        )::text"
    )
}

/// Makes a notification of a triggered reminder: `$1` event, `$2` the notification's id, `$3` user, `$4` task, `$5` its
/// title, `$6` the moment, `$7` due date. One for each moment of a task, however often it is said to have come.
pub(crate) const NOTIFY: &str = "
WITH claim AS (
    INSERT INTO processed_events (handler, event_id) VALUES ('reminder', $1::text::uuid)
    ON CONFLICT DO NOTHING
    RETURNING event_id
), created AS (
    INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, due_date)
    SELECT $2::text::uuid, $3, $4::text::uuid, $5, $6::text::timestamptz, $7::text::timestamptz FROM claim
    ON CONFLICT (task_id, remind_at) DO NOTHING
)
SELECT 'null'";
