-- Reminders and notifications. The row in `reminders` is the truth; the Dapr job `reminder-{task_id}` is only its alarm
-- clock. The row holds when the clock should ring and what it was last set to, so that whatever a crash interrupts is
-- finished later. Plans are kept, as in tasks.sql.

-- How long before it rings an alarm is set: a scheduler need not keep the alarms of months.
CREATE OR REPLACE FUNCTION alarm_horizon() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN interval '1 hour';

-- What the clock of a reminder is to be set to now, what it was last set to, and whether the breaker lets handlers call
-- the Jobs API.
CREATE OR REPLACE FUNCTION alarm_json(reminder reminders, sidecar text) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN jsonb_build_object(
        'task_id', reminder.task_id,
        'wanted', rfc3339(CASE
            WHEN reminder.alarm_wanted <= statement_timestamp() + alarm_horizon() THEN reminder.alarm_wanted
        END),
        'set', rfc3339(reminder.alarm_set),
        'may_call', jobs_reachable(sidecar)
    );

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
                AND task.skipped_at IS NULL
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

-- Lets the row decide what an alarm that rang means: it triggers a reminder that is still scheduled and due (up to 5 s
-- early counts), of a task that is open and due as the row says; one that rang earlier is to be set again; any other means
-- nothing. Where the task is not as the row says, its event is on its way.
CREATE OR REPLACE FUNCTION ring_reminder(task_id uuid, outbox jsonb) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
    reminder reminders;
BEGIN
    SELECT * INTO task FROM tasks AS open WHERE open.id = ring_reminder.task_id FOR SHARE;
    SELECT * INTO reminder FROM reminders AS r
    WHERE r.task_id = ring_reminder.task_id AND r.status = 'scheduled'
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN '{}';
    ELSIF reminder.remind_at > clock_timestamp() + interval '5 seconds' THEN
        UPDATE reminders AS r SET alarm_set = NULL, updated_at = clock_timestamp()
        WHERE r.task_id = ring_reminder.task_id
        RETURNING * INTO reminder;
        RETURN jsonb_build_object('alarm', alarm_json(reminder, outbox ->> 'sidecar'));
    ELSIF task.id IS NULL OR task.completed OR task.skipped_at IS NOT NULL
        OR task.due_date IS DISTINCT FROM reminder.due_date
    THEN
        RETURN '{}';
    END IF;
    UPDATE reminders AS r SET
        status = 'triggered', alarm_wanted = NULL, alarm_set = NULL, updated_at = clock_timestamp()
    WHERE r.task_id = ring_reminder.task_id;
    RETURN jsonb_build_object('emitted', append_event(
        outbox, reminder.user_id, reminder.task_id, 'reminder.triggered', 'reminders',
        jsonb_build_object(
            'task_id', reminder.task_id,
            'user_id', reminder.user_id,
            'task_title', task.title,
            'due_date', rfc3339(reminder.due_date),
            'remind_at', rfc3339(reminder.remind_at)
        )
    ));
END $$;

-- Makes a notification of a triggered reminder: one for each moment of a task, however often it is said to have come. The
-- row is believed, not the event: whose task it is, whether it was triggered, for which moment, and when it is due.
CREATE OR REPLACE FUNCTION notify_user(
    event_id uuid, notification_id uuid, user_id text, task_id uuid, task_title text, remind_at timestamptz
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
BEGIN
    IF claim_event('reminder', event_id) THEN
        INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, due_date)
        SELECT notification_id, reminder.user_id, reminder.task_id, notify_user.task_title, reminder.remind_at,
            reminder.due_date
        FROM reminders AS reminder
        WHERE reminder.task_id = notify_user.task_id
            AND reminder.user_id = notify_user.user_id
            AND reminder.status = 'triggered'
            AND reminder.remind_at = notify_user.remind_at
        ON CONFLICT DO NOTHING;
        RETURN to_jsonb(FOUND);
    END IF;
    RETURN 'false';
END $$;

CREATE OR REPLACE FUNCTION read_notification(user_id text, notification_id uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    notification notifications;
BEGIN
    UPDATE notifications AS unread SET read_at = coalesce(unread.read_at, now())
    WHERE unread.id = notification_id AND unread.user_id = read_notification.user_id
    RETURNING * INTO notification;
    RETURN CASE WHEN FOUND THEN notification_json(notification) END;
END $$;

CREATE OR REPLACE FUNCTION read_notifications(user_id text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    marked bigint;
BEGIN
    UPDATE notifications AS unread SET read_at = now()
    WHERE unread.user_id = read_notifications.user_id AND unread.read_at IS NULL;
    GET DIAGNOSTICS marked = ROW_COUNT;
    RETURN jsonb_build_object('marked', marked);
END $$;

-- Records what the clock of a reminder was set to, unless something else is wanted by now: another moment that is near, or
-- none.
CREATE OR REPLACE FUNCTION record_alarm(task_id uuid, alarm timestamptz) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
BEGIN
    UPDATE reminders AS r SET alarm_set = record_alarm.alarm
    WHERE r.task_id = record_alarm.task_id
        AND (
            r.alarm_wanted IS NOT DISTINCT FROM record_alarm.alarm
            OR record_alarm.alarm IS NULL AND r.alarm_wanted > statement_timestamp() + alarm_horizon()
        );
    RETURN 'null';
END $$;

-- Lets a reminder rest that the sweep could not deal with, so that it does not hold up the others.
CREATE OR REPLACE FUNCTION rest_reminder(task_id uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reminders AS r SET rests_until = clock_timestamp() + interval '5 minutes'
    WHERE r.task_id = rest_reminder.task_id;
    RETURN 'null';
END $$;

-- Tasks with a reminder whose moment has passed long enough ago for its alarm to have rung, and that are still open and due
-- then: where the task is not as the row says, its event is on its way.
CREATE OR REPLACE FUNCTION overdue_reminders(most integer) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(overdue.task_id), '[]')
        FROM (
            SELECT reminder.task_id
            FROM reminders AS reminder JOIN tasks AS task ON task.id = reminder.task_id
            WHERE reminder.status = 'scheduled'
                AND reminder.remind_at <= statement_timestamp() - interval '5 seconds'
                AND coalesce(reminder.rests_until <= statement_timestamp(), true)
                AND NOT task.completed
                AND task.skipped_at IS NULL
                AND task.due_date = reminder.due_date
            ORDER BY reminder.remind_at
            LIMIT most
        ) AS overdue
    );
END $$;

-- Alarms that are not set as wanted: those that ring soon, and those of reminders that were moved or cancelled. Handlers
-- had the time to do it themselves.
CREATE OR REPLACE FUNCTION unset_alarms(sidecar text, most integer) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(alarm_json(unset.reminder, unset_alarms.sidecar)), '[]')
        FROM (
            (
                SELECT reminder FROM reminders AS reminder
                WHERE reminder.alarm_wanted IS DISTINCT FROM reminder.alarm_set
                    AND reminder.alarm_wanted <= statement_timestamp() + alarm_horizon()
                    AND reminder.updated_at <= statement_timestamp() - interval '10 seconds'
                    AND coalesce(reminder.rests_until <= statement_timestamp(), true)
                ORDER BY reminder.alarm_wanted
                LIMIT most
            )
            UNION ALL
            (
                SELECT reminder FROM reminders AS reminder
                WHERE reminder.alarm_set IS NOT NULL
                    AND reminder.alarm_wanted IS DISTINCT FROM reminder.alarm_set
                    AND coalesce(reminder.alarm_wanted > statement_timestamp() + alarm_horizon(), true)
                    AND reminder.updated_at <= statement_timestamp() - interval '10 seconds'
                    AND coalesce(reminder.rests_until <= statement_timestamp(), true)
                ORDER BY reminder.updated_at
                LIMIT most
            )
        ) AS unset
    );
END $$;
