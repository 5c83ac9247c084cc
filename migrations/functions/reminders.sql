-- Reminders and notifications. A task has one row in `reminders`, with all moments that it is to be reminded of. The row is
-- the truth; the Dapr job `reminder-{task_id}` is only its alarm clock, for the next moment. The row holds when the clock
-- should ring and what it was last set to, so that whatever a crash interrupts is finished later. Plans are kept, as in
-- tasks.sql.

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

-- The moments that a reminder has ahead of it by what the task says. A row of before has one.
CREATE OR REPLACE FUNCTION planned_moments(reminder reminders) RETURNS timestamptz[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN coalesce(reminder.planned, CASE reminder.status WHEN 'scheduled' THEN ARRAY[reminder.remind_at] ELSE '{}' END);
END $$;

-- The moments that have come, the latest 20. A row of before has one.
CREATE OR REPLACE FUNCTION triggered_moments(reminder reminders) RETURNS timestamptz[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN CASE
        WHEN reminder.triggered = '{}' AND reminder.status = 'triggered' THEN ARRAY[reminder.remind_at]
        ELSE reminder.triggered
    END;
END $$;

-- A reminder with these moments ahead, by what the task says and by notifications that were put off: the alarm is for the
-- first. `otherwise` is the status where there is none.
CREATE OR REPLACE FUNCTION with_moments(
    reminder reminders, planned timestamptz[], snoozed timestamptz[], otherwise text
) RETURNS reminders LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    -- NULL is none: of two, the other.
    next timestamptz := least(planned[1], snoozed[1]);
BEGIN
    reminder.planned := planned;
    reminder.snoozed := snoozed;
    reminder.status := CASE WHEN next IS NULL THEN otherwise ELSE 'scheduled' END;
    reminder.remind_at := coalesce(next, reminder.remind_at);
    reminder.alarm_wanted := next;
    RETURN reminder;
END $$;

-- In order, each once.
CREATE OR REPLACE FUNCTION in_order(moments timestamptz[]) RETURNS timestamptz[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN CASE
        WHEN cardinality(moments) < 2 THEN moments
        ELSE ARRAY(SELECT DISTINCT moment FROM unnest(moments) AS moment ORDER BY moment)
    END;
END $$;

-- What `reminder.scheduled` says of a reminder.
CREATE OR REPLACE FUNCTION scheduled_json(reminder reminders) RETURNS jsonb LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    moment timestamptz;
    moments jsonb := '[]';
BEGIN
    FOREACH moment IN ARRAY in_order(reminder.planned || reminder.snoozed) LOOP
        moments := moments || to_jsonb(rfc3339(moment));
    END LOOP;
    RETURN jsonb_build_object(
        'task_id', reminder.task_id,
        'user_id', reminder.user_id,
        'remind_at', rfc3339(reminder.remind_at),
        'due_date', rfc3339(reminder.due_date),
        'moments', moments
    );
END $$;

-- Brings a task's reminders to what an event of the task wants: the moments, or the reason why there is none. An
-- edit that leaves the due date takes back neither a reminder that was just coming due when it happened, nor one that was put
-- off.
--
-- A redelivery changes nothing but still tells the alarm, in case a crash came before it was set. Where the task has a
-- row, its number tells an event that is older than the last one applied. A task that never wanted a reminder has no row:
-- there an event that wants one is believed only while the task is as the event says. If it is not, a later event changed
-- it, and was handled, or will be.
CREATE OR REPLACE FUNCTION apply_reminders(
    event_id uuid, sequence bigint, user_id text, task_id uuid, moments timestamptz[], happened_at timestamptz,
    due_date timestamptz, reason text, outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    was reminders;
    reminder reminders;
    wanted timestamptz[];
    snoozed timestamptz[] := '{}';
    emitted jsonb;
BEGIN
    IF NOT claim_event('reminder', event_id) THEN
        SELECT * INTO reminder FROM reminders AS r WHERE r.task_id = apply_reminders.task_id;
        RETURN jsonb_build_object('alarm', CASE
            WHEN FOUND THEN alarm_json(reminder, outbox ->> 'sidecar')
        END);
    END IF;
    SELECT * INTO was FROM reminders AS r WHERE r.task_id = apply_reminders.task_id FOR UPDATE;
    IF NOT FOUND THEN
        IF moments = '{}' OR NOT EXISTS (
            SELECT FROM tasks AS task
            WHERE task.id = apply_reminders.task_id
                AND task.user_id = apply_reminders.user_id
                AND NOT task.completed
                AND task.skipped_at IS NULL
                AND task.due_date = apply_reminders.due_date
        ) THEN
            RETURN '{}';
        END IF;
        -- Where another one is faster, its row is as good as one that was there.
        INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date, alarm_wanted, planned)
        VALUES (
            apply_reminders.task_id, apply_reminders.user_id, apply_reminders.sequence, 'scheduled', moments[1],
            apply_reminders.due_date, moments[1], moments
        )
        ON CONFLICT DO NOTHING
        RETURNING * INTO reminder;
        IF NOT FOUND THEN
            SELECT * INTO was FROM reminders AS r WHERE r.task_id = apply_reminders.task_id FOR UPDATE;
        END IF;
    END IF;
    IF was.task_id IS NOT NULL THEN
        IF was.user_id <> apply_reminders.user_id OR was.sequence >= apply_reminders.sequence THEN
            RETURN '{}';
        END IF;
        reminder := was;
        reminder.sequence := apply_reminders.sequence;
        reminder.due_date := apply_reminders.due_date;
        wanted := moments;
        reminder.triggered := triggered_moments(was);
        IF was.due_date IS DISTINCT FROM apply_reminders.due_date THEN
            reminder.triggered := '{}';
        ELSIF coalesce(reason, '') NOT IN ('completed', 'skipped', 'deleted', 'no_due_date') THEN
            snoozed := was.snoozed;
            wanted := ARRAY(
                SELECT coming FROM unnest(planned_moments(was)) AS coming WHERE coming <= happened_at
            ) || moments;
        END IF;
        -- What has been triggered is neither taken back nor repeated.
        wanted := ARRAY(
            SELECT DISTINCT moment FROM unnest(wanted) AS moment WHERE moment <> ALL (reminder.triggered) ORDER BY moment
        );
        reminder := with_moments(
            reminder, wanted, snoozed, CASE was.status WHEN 'triggered' THEN 'triggered' ELSE 'cancelled' END
        );
        UPDATE reminders AS r SET
            sequence = reminder.sequence,
            status = reminder.status,
            remind_at = reminder.remind_at,
            due_date = reminder.due_date,
            alarm_wanted = reminder.alarm_wanted,
            planned = reminder.planned,
            snoozed = reminder.snoozed,
            triggered = reminder.triggered,
            rests_until = NULL,
            updated_at = clock_timestamp()
        WHERE r.task_id = was.task_id;
    END IF;
    IF was.task_id IS NULL
        OR reminder.status <> was.status
        OR (reminder.planned, reminder.snoozed) IS DISTINCT FROM (planned_moments(was), was.snoozed)
        OR reminder.status = 'scheduled' AND reminder.due_date IS DISTINCT FROM was.due_date
    THEN
        emitted := append_event(
            outbox, reminder.user_id, reminder.task_id, 'reminder.' || reminder.status, 'reminders',
            CASE reminder.status
                WHEN 'scheduled' THEN scheduled_json(reminder)
                ELSE jsonb_build_object(
                    'task_id', reminder.task_id, 'user_id', reminder.user_id, 'reason', coalesce(reason, 'due_too_soon')
                )
            END
        );
    END IF;
    RETURN jsonb_build_object('emitted', emitted, 'alarm', alarm_json(reminder, outbox ->> 'sidecar'));
END $$;

-- For handlers of before, which know one reminder for each task. A task with reminders of its own waits for a handler that
-- knows them.
CREATE OR REPLACE FUNCTION apply_reminder(
    event_id uuid, sequence bigint, user_id text, task_id uuid, moment timestamptz, due_date timestamptz, reason text,
    outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM tasks AS task WHERE task.id = apply_reminder.task_id AND task.reminders IS NOT NULL
    ) THEN
        RAISE 'the task has reminders of its own';
    END IF;
    RETURN apply_reminders(
        event_id, sequence, user_id, task_id, CASE WHEN moment IS NULL THEN '{}' ELSE ARRAY[moment] END,
        CASE reason WHEN 'due_too_soon' THEN clock_timestamp() END, due_date, reason, outbox
    );
END $$;

-- Lets the row decide what an alarm that rang means: it triggers a reminder that is still scheduled and due (up to 5 s
-- early counts), of a task that is open and due as the row says, and tells the alarm of the next moment; one that rang
-- earlier is to be set again; any other means nothing. Where the task is not as the row says, its event is on its way.
CREATE OR REPLACE FUNCTION ring_reminder(task_id uuid, outbox jsonb) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
    reminder reminders;
    moment timestamptz;
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
    moment := reminder.remind_at;
    reminder.triggered := (triggered_moments(reminder) || moment)[greatest(1, cardinality(reminder.triggered) - 18):];
    reminder := with_moments(
        reminder, array_remove(planned_moments(reminder), moment), array_remove(reminder.snoozed, moment), 'triggered'
    );
    UPDATE reminders AS r SET
        status = reminder.status,
        remind_at = reminder.remind_at,
        alarm_wanted = reminder.alarm_wanted,
        alarm_set = NULL,
        planned = reminder.planned,
        snoozed = reminder.snoozed,
        triggered = reminder.triggered,
        updated_at = clock_timestamp()
    WHERE r.task_id = ring_reminder.task_id
    RETURNING * INTO reminder;
    RETURN jsonb_build_object(
        'emitted', append_event(
            outbox, reminder.user_id, reminder.task_id, 'reminder.triggered', 'reminders',
            jsonb_build_object(
                'task_id', reminder.task_id,
                'user_id', reminder.user_id,
                'task_title', task.title,
                'due_date', rfc3339(reminder.due_date),
                'remind_at', rfc3339(moment)
            )
        ),
        'alarm', CASE WHEN reminder.status = 'scheduled' THEN alarm_json(reminder, outbox ->> 'sidecar') END
    );
END $$;

-- Makes a notification of a triggered reminder: one for each moment of a task, however often it is said to have come. The
-- row is believed, not the event: whose task it is, whether that moment was triggered, and when it is due.
CREATE OR REPLACE FUNCTION notify_user(
    event_id uuid, notification_id uuid, user_id text, task_id uuid, task_title text, remind_at timestamptz
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
BEGIN
    IF claim_event('reminder', event_id) THEN
        INSERT INTO notifications (id, user_id, task_id, task_title, remind_at, due_date)
        SELECT notification_id, reminder.user_id, reminder.task_id, notify_user.task_title, notify_user.remind_at,
            reminder.due_date
        FROM reminders AS reminder
        WHERE reminder.task_id = notify_user.task_id
            AND reminder.user_id = notify_user.user_id
            AND notify_user.remind_at = ANY (triggered_moments(reminder))
        ON CONFLICT DO NOTHING;
        RETURN to_jsonb(FOUND);
    END IF;
    RETURN 'false';
END $$;

-- Puts a notification off: for so many seconds, or until an instant. It counts as read, and its task is reminded of again
-- then, while it is open and due when the notification says. Until then the notification can be put off to another moment.
-- Tells what became of it, the notification as it is now, and the event, if the moment is another one.
CREATE OR REPLACE FUNCTION snooze_notification(
    user_id text, notification_id uuid, seconds bigint, until timestamptz, outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    notification notifications;
    task tasks;
    was reminders;
    reminder reminders;
    others timestamptz[];
    moment timestamptz := coalesce(until, clock_timestamp() + seconds * interval '1 second');
BEGIN
    SELECT * INTO notification FROM notifications AS own
    WHERE own.id = notification_id AND own.user_id = snooze_notification.user_id;
    IF NOT FOUND THEN
        RETURN '{"outcome": "not_found"}';
    ELSIF moment <= clock_timestamp() THEN
        RETURN '{"outcome": "passed"}';
    ELSIF moment > clock_timestamp() + interval '366 days' THEN
        RETURN '{"outcome": "too_far"}';
    END IF;
    SELECT * INTO task FROM tasks AS open WHERE open.id = notification.task_id FOR SHARE;
    IF task.id IS NULL OR task.completed OR task.skipped_at IS NOT NULL THEN
        RETURN '{"outcome": "ended"}';
    END IF;
    -- Where retention took the row, any event of the task is newer.
    INSERT INTO reminders (task_id, user_id, sequence, status, remind_at, due_date)
    VALUES (task.id, task.user_id, 0, 'triggered', notification.remind_at, notification.due_date)
    ON CONFLICT DO NOTHING;
    SELECT * INTO was FROM reminders AS r WHERE r.task_id = task.id FOR UPDATE;
    IF task.due_date IS NULL OR (task.due_date, task.due_date) IS DISTINCT FROM (notification.due_date, was.due_date) THEN
        RETURN '{"outcome": "due_date_changed"}';
    END IF;
    -- Another request may have put it off meanwhile.
    SELECT * INTO notification FROM notifications AS own WHERE own.id = notification_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN '{"outcome": "not_found"}';
    END IF;
    others := CASE
        WHEN notification.snoozed_until IS NULL THEN was.snoozed
        ELSE array_remove(was.snoozed, notification.snoozed_until)
    END;
    IF cardinality(others) >= 5 THEN
        RETURN '{"outcome": "too_many"}';
    END IF;
    reminder := was;
    reminder.triggered := triggered_moments(was);
    reminder := with_moments(reminder, planned_moments(was), in_order(others || moment), 'triggered');
    UPDATE notifications AS own SET
        read_at = coalesce(own.read_at, now()),
        snoozed_until = moment
    WHERE own.id = notification_id
    RETURNING * INTO notification;
    IF reminder.snoozed = was.snoozed THEN
        RETURN jsonb_build_object('outcome', 'put_off', 'notification', notification_json(notification));
    END IF;
    UPDATE reminders AS r SET
        status = reminder.status,
        remind_at = reminder.remind_at,
        alarm_wanted = reminder.alarm_wanted,
        planned = reminder.planned,
        snoozed = reminder.snoozed,
        triggered = reminder.triggered,
        rests_until = NULL,
        updated_at = clock_timestamp()
    WHERE r.task_id = task.id;
    RETURN jsonb_build_object(
        'outcome', 'put_off',
        'notification', notification_json(notification),
        'emitted', append_event(
            outbox, reminder.user_id, reminder.task_id, 'reminder.scheduled', 'reminders', scheduled_json(reminder)
        )
    );
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
