-- A new reminder is written once: its row was inserted empty and then updated, with three indexes.

SET lock_timeout = '2s';
SET statement_timeout = 0;

-- Brings a task's reminder to what an event of the task wants: the moment, or the reason why there is none.
--
-- A redelivery changes nothing but still tells the alarm, in case a crash came before it was set. Where the task has a
-- row, its number tells an event that is older than the last one applied. A task that never wanted a reminder has no row:
-- there an event that wants one is believed only while the task is as the event says. If it is not, a later event changed
-- it, and was handled, or will be.
CREATE OR REPLACE FUNCTION apply_reminder(
    event_id uuid, sequence bigint, user_id text, task_id uuid, moment timestamptz, due_date timestamptz, reason text,
    outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    was reminders;
    reminder reminders;
    emitted jsonb;
BEGIN
    IF NOT claim_event('reminder', event_id) THEN
        SELECT * INTO reminder FROM reminders AS r WHERE r.task_id = apply_reminder.task_id;
        RETURN jsonb_build_object('alarm', CASE
            WHEN FOUND THEN alarm_json(reminder, outbox ->> 'sidecar')
        END);
    END IF;
    SELECT * INTO was FROM reminders AS r WHERE r.task_id = apply_reminder.task_id FOR UPDATE;
    IF NOT FOUND THEN
        IF moment IS NULL OR NOT EXISTS (
            SELECT FROM tasks AS task
            WHERE task.id = apply_reminder.task_id
                AND task.user_id = apply_reminder.user_id
                AND NOT task.completed
                AND task.due_date = apply_reminder.due_date
        ) THEN
            RETURN '{}';
        END IF;
        -- Where another one is faster, its row is as good as one that was there.
        INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date, alarm_wanted)
        VALUES (
            apply_reminder.task_id, apply_reminder.user_id, apply_reminder.sequence, 'scheduled', moment,
            apply_reminder.due_date, moment
        )
        ON CONFLICT DO NOTHING
        RETURNING * INTO reminder;
        IF NOT FOUND THEN
            SELECT * INTO was FROM reminders AS r WHERE r.task_id = apply_reminder.task_id FOR UPDATE;
        END IF;
    END IF;
    IF was.task_id IS NOT NULL THEN
        IF was.user_id <> apply_reminder.user_id
            OR was.sequence >= apply_reminder.sequence
            -- An edit that leaves the due date does not take back a reminder that is just coming due.
            OR reason = 'due_too_soon' AND was.status = 'scheduled' AND was.due_date = apply_reminder.due_date
        THEN
            RETURN '{}';
        END IF;
        reminder := was;
        reminder.sequence := apply_reminder.sequence;
        reminder.due_date := apply_reminder.due_date;
        IF moment IS NULL THEN
            -- What has been triggered is neither taken back nor repeated.
            reminder.status := CASE was.status WHEN 'triggered' THEN 'triggered' ELSE 'cancelled' END;
            reminder.alarm_wanted := NULL;
        ELSIF was.status <> 'triggered' OR was.remind_at <> moment THEN
            reminder.status := 'scheduled';
            reminder.remind_at := moment;
            reminder.alarm_wanted := moment;
        END IF;
        UPDATE reminders AS r SET
            sequence = reminder.sequence,
            status = reminder.status,
            remind_at = reminder.remind_at,
            due_date = reminder.due_date,
            alarm_wanted = reminder.alarm_wanted,
            rests_until = NULL,
            updated_at = clock_timestamp()
        WHERE r.task_id = was.task_id;
    END IF;
    IF (reminder.status, reminder.alarm_wanted) IS DISTINCT FROM (was.status, was.alarm_wanted) THEN
        emitted := append_event(
            outbox, reminder.user_id, reminder.task_id, 'reminder.' || reminder.status, 'reminders',
            jsonb_build_object('task_id', reminder.task_id, 'user_id', reminder.user_id) || CASE reminder.status
                WHEN 'scheduled' THEN jsonb_build_object(
                    'remind_at', rfc3339(reminder.remind_at), 'due_date', rfc3339(reminder.due_date)
                )
                ELSE jsonb_build_object('reason', reason)
            END
        );
    END IF;
    RETURN jsonb_build_object('emitted', emitted, 'alarm', alarm_json(reminder, outbox ->> 'sidecar'));
END $$;
