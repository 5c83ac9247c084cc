-- Up to five reminders for each task; notifications can be put off.

SET lock_timeout = '2s';
SET statement_timeout = 0;

ALTER TABLE tasks
    -- [{"before": duration} or {"at": instant}]; NULL is the deployment's lead.
    ADD COLUMN reminders jsonb;

ALTER TABLE reminders
    -- The moments ahead by what the task says; NULL where an earlier version wrote the row, which has `remind_at` alone.
    ADD COLUMN planned timestamptz[],
    -- Those to which notifications were put off.
    ADD COLUMN snoozed timestamptz[] NOT NULL DEFAULT '{}',
    -- The latest that have come, for this due date.
    ADD COLUMN triggered timestamptz[] NOT NULL DEFAULT '{}';

ALTER TABLE notifications ADD COLUMN snoozed_until timestamptz;

-- A task as the REST API shows it. In PL/pgSQL: SQL would be planned anew, part by part, with every statement that calls it.
-- As text, put together once: in jsonb it takes three times as long.
CREATE OR REPLACE FUNCTION task_text(task tasks) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN '{"id":"' || task.id
        || '","user_id":' || to_json(task.user_id)
        || ',"title":' || to_json(task.title)
        || ',"description":' || coalesce(to_json(task.description)::text, 'null')
        || ',"completed":' || task.completed
        || ',"completed_at":' || coalesce('"' || rfc3339(task.completed_at) || '"', 'null')
        || ',"skipped_at":' || coalesce('"' || rfc3339(task.skipped_at) || '"', 'null')
        || ',"priority":"' || task.priority
        || '","tags":' || to_json(task.tags)
        || ',"due_date":' || coalesce('"' || rfc3339(task.due_date) || '"', 'null')
        || ',"timezone":' || to_json(task.timezone)
        || ',"is_recurring":' || task.is_recurring
        || ',"recurring_interval":' || coalesce('"' || task.recurring_interval || '"', 'null')
        || ',"recurrence":' || coalesce(recurrence_of(task)::text, 'null')
        || ',"reminders":' || coalesce(task.reminders::text, 'null')
        || ',"series_id":"' || task.series_id
        || '","occurrence":' || task.occurrence
        || ',"anchor_day":' || coalesce(task.anchor_day::text, 'null')
        || ',"wall_clock_due":' || coalesce('"' || to_char(task.wall_clock_due, 'YYYY-MM-DD"T"HH24:MI:SS.US') || '"', 'null')
        || ',"version":' || task.version
        || ',"created_at":"' || rfc3339(task.created_at)
        || '","updated_at":"' || rfc3339(task.updated_at) || '"}';
END $$;

CREATE OR REPLACE FUNCTION notification_json(notification notifications) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'id', notification.id,
        'user_id', notification.user_id,
        'task_id', notification.task_id,
        'task_title', notification.task_title,
        'remind_at', rfc3339(notification.remind_at),
        'due_date', rfc3339(notification.due_date),
        'created_at', rfc3339(notification.created_at),
        'read', notification.read_at IS NOT NULL,
        'read_at', rfc3339(notification.read_at),
        'snoozed_until', rfc3339(notification.snoozed_until)
    );

-- Whether the subscriptions deliver an event to the handler of a stream, and the handler claims it. The end of a task
-- without a due date is nobody's business: it has no reminder, or the change that cleared the date took it back before.
CREATE OR REPLACE FUNCTION is_delivered(stream text, type text, data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE stream
        WHEN 'recurrence' THEN type IN ('task.completed', 'task.skipped') AND data -> 'is_recurring' = 'true'
        WHEN 'notification' THEN type = 'reminder.triggered'
        WHEN 'reminder' THEN CASE type
            WHEN 'task.updated' THEN data -> 'changed_fields' ?| ARRAY['due_date', 'completed', 'skipped_at', 'reminders']
            ELSE type IN ('task.created', 'task.completed', 'task.skipped', 'task.deleted') AND data ->> 'due_date' IS NOT NULL
        END
    END;

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

-- What no task may be, whoever writes it. One function, since each constraint of a table is made ready anew for each row.
CREATE OR REPLACE FUNCTION is_sound(task tasks) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN length(task.title) BETWEEN 1 AND 200
        AND length(task.description) <= 1000
        AND cardinality(task.tags) <= 10
        AND task.completed = (task.completed_at IS NOT NULL)
        AND (task.skipped_at IS NULL OR NOT task.completed)
        AND task.is_recurring = (coalesce(task.recurring_interval::text, task.recurrence ->> 'rule') IS NOT NULL)
        AND (task.due_date IS NULL) = (task.anchor_day IS NULL)
        AND task.anchor_day BETWEEN 1 AND 31
        AND task.occurrence >= 1
        AND coalesce(jsonb_array_length(task.reminders) <= 5, true);
END $$;

-- The anchor day is set where the date or the zone changes. Else it stays, so that the 28 February of a series that aims at
-- the 31st keeps aiming there; and so does the time of day that a change of clocks moved.
CREATE OR REPLACE FUNCTION update_task(
    user_id text, task_id uuid, patch jsonb, versions bigint[], outbox jsonb
) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    old tasks;
    new tasks;
    shown_before jsonb;
    changed_fields jsonb;
BEGIN
    SELECT * INTO old FROM tasks AS task
    WHERE task.id = update_task.task_id AND task.user_id = update_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    ELSIF old.version <> ALL (versions) THEN
        RETURN answer('precondition_failed');
    END IF;
    new := jsonb_populate_record(old, patch);
    IF patch ?| ARRAY['is_recurring', 'recurring_interval', 'recurrence'] THEN
        new := with_recurrence(old, new, patch);
        IF new.id IS NULL THEN
            RETURN answer(CASE WHEN patch ? 'recurrence' THEN 'rule_missing' ELSE 'recurrence_mismatch' END);
        END IF;
    END IF;
    IF new.due_date IS NULL THEN
        new.anchor_day := NULL;
        new.wall_clock_due := NULL;
    ELSIF (new.due_date, new.timezone) IS DISTINCT FROM (old.due_date, old.timezone) THEN
        new.wall_clock_due := NULL;
        new.anchor_day := anchor_day_of(new.due_date, new.timezone);
        IF new.anchor_day IS NULL THEN
            RETURN answer('unknown_time_zone');
        END IF;
    END IF;
    IF patch ? 'reminders' AND new.due_date IS NULL AND jsonb_array_length(new.reminders) > 0 THEN
        RETURN answer('due_date_missing');
    END IF;
    IF new = old THEN
        RETURN answer('unchanged', old);
    END IF;
    shown_before := task_json(old);
    SELECT jsonb_agg(field.key ORDER BY field.key) INTO changed_fields
    FROM jsonb_each(task_json(new)) AS field
    WHERE field.value IS DISTINCT FROM shown_before -> field.key;
    UPDATE tasks AS task SET
        title = new.title,
        description = new.description,
        priority = new.priority,
        tags = new.tags,
        due_date = new.due_date,
        timezone = new.timezone,
        is_recurring = new.is_recurring,
        recurring_interval = new.recurring_interval,
        recurrence = new.recurrence,
        reminders = new.reminders,
        anchor_day = new.anchor_day,
        wall_clock_due = new.wall_clock_due,
        version = task.version + 1,
        updated_at = greatest(now(), task.updated_at)
    WHERE task.id = old.id
    RETURNING * INTO new;
    RETURN changed(new, 'task.updated', outbox, jsonb_build_object('changed_fields', changed_fields));
END $$;
