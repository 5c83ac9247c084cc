SET lock_timeout = '2s';
SET statement_timeout = 0;

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
        'read_at', rfc3339(notification.read_at)
    );

-- Whether the subscriptions deliver an event to the handler of a stream, and the handler claims it. The end of a task
-- without a due date is nobody's business: it has no reminder, or the change that cleared the date took it back before.
CREATE OR REPLACE FUNCTION is_delivered(stream text, type text, data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE stream
        WHEN 'recurrence' THEN type IN ('task.completed', 'task.skipped') AND data -> 'is_recurring' = 'true'
        WHEN 'notification' THEN type = 'reminder.triggered'
        WHEN 'reminder' THEN CASE type
            WHEN 'task.updated' THEN data -> 'changed_fields' ?| ARRAY['due_date', 'completed', 'skipped_at']
            ELSE type IN ('task.created', 'task.completed', 'task.skipped', 'task.deleted') AND data ->> 'due_date' IS NOT NULL
        END
    END;

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
        AND task.occurrence >= 1;
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
        anchor_day = new.anchor_day,
        wall_clock_due = new.wall_clock_due,
        version = task.version + 1,
        updated_at = greatest(now(), task.updated_at)
    WHERE task.id = old.id
    RETURNING * INTO new;
    RETURN changed(new, 'task.updated', outbox, jsonb_build_object('changed_fields', changed_fields));
END $$;

DROP FUNCTION snooze_notification(text, uuid, bigint, timestamptz, jsonb);
DROP FUNCTION apply_reminders(uuid, bigint, text, uuid, timestamptz[], timestamptz, timestamptz, text, jsonb);
DROP FUNCTION scheduled_json(reminders);
DROP FUNCTION in_order(timestamptz[]);
DROP FUNCTION with_moments(reminders, timestamptz[], timestamptz[], text);
DROP FUNCTION triggered_moments(reminders);
DROP FUNCTION planned_moments(reminders);

ALTER TABLE notifications DROP COLUMN snoozed_until;
ALTER TABLE reminders DROP COLUMN planned, DROP COLUMN snoozed, DROP COLUMN triggered;
ALTER TABLE tasks DROP COLUMN reminders;
