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
        || ',"priority":"' || task.priority
        || '","tags":' || to_json(task.tags)
        || ',"due_date":' || coalesce('"' || rfc3339(task.due_date) || '"', 'null')
        || ',"timezone":' || to_json(task.timezone)
        || ',"is_recurring":' || task.is_recurring
        || ',"recurring_interval":' || coalesce('"' || task.recurring_interval || '"', 'null')
        || ',"series_id":"' || task.series_id
        || '","occurrence":' || task.occurrence
        || ',"anchor_day":' || coalesce(task.anchor_day::text, 'null')
        || ',"version":' || task.version
        || ',"created_at":"' || rfc3339(task.created_at)
        || '","updated_at":"' || rfc3339(task.updated_at) || '"}';
END $$;

-- Whether the subscriptions deliver an event to the handler of a stream, and the handler claims it. The end of a task
-- without a due date is nobody's business: it has no reminder, or the change that cleared the date took it back before.
CREATE OR REPLACE FUNCTION is_delivered(stream text, type text, data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE stream
        WHEN 'recurrence' THEN type = 'task.completed' AND data -> 'is_recurring' = 'true'
        WHEN 'notification' THEN type = 'reminder.triggered'
        WHEN 'reminder' THEN CASE type
            WHEN 'task.updated' THEN data -> 'changed_fields' ?| ARRAY['due_date', 'completed']
            ELSE type IN ('task.created', 'task.completed', 'task.deleted') AND data ->> 'due_date' IS NOT NULL
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
    ELSIF task.id IS NULL OR task.completed OR task.due_date IS DISTINCT FROM reminder.due_date THEN
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
                AND task.due_date = reminder.due_date
            ORDER BY reminder.remind_at
            LIMIT most
        ) AS overdue
    );
END $$;

-- What no task may be, whoever writes it. One function, since each constraint of a table is made ready anew for each row.
CREATE OR REPLACE FUNCTION is_sound(task tasks) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN length(task.title) BETWEEN 1 AND 200
        AND length(task.description) <= 1000
        AND cardinality(task.tags) <= 10
        AND task.completed = (task.completed_at IS NOT NULL)
        AND task.is_recurring = (task.recurring_interval IS NOT NULL)
        AND (task.due_date IS NULL) = (task.anchor_day IS NULL)
        AND task.anchor_day BETWEEN 1 AND 31
        AND task.occurrence >= 1;
END $$;

-- The anchor day is set where the date or the zone changes. Else it stays, so that the 28 February of a series that aims at
-- the 31st keeps aiming there.
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
    IF new.is_recurring <> (new.recurring_interval IS NOT NULL) THEN
        RETURN answer('recurrence_mismatch');
    ELSIF new.due_date IS NULL THEN
        new.anchor_day := NULL;
    ELSIF (new.due_date, new.timezone) IS DISTINCT FROM (old.due_date, old.timezone) THEN
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
        anchor_day = new.anchor_day,
        version = task.version + 1,
        updated_at = greatest(now(), task.updated_at)
    WHERE task.id = old.id
    RETURNING * INTO new;
    RETURN changed(new, 'task.updated', outbox, jsonb_build_object('changed_fields', changed_fields));
END $$;

CREATE OR REPLACE FUNCTION complete_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks AS pending
    WHERE pending.id = complete_task.task_id AND pending.user_id = complete_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    ELSIF task.version <> ALL (versions) THEN
        RETURN answer('precondition_failed');
    ELSIF task.completed THEN
        RETURN answer('unchanged', task);
    END IF;
    UPDATE tasks AS pending SET
        completed = true,
        completed_at = greatest(now(), pending.updated_at),
        version = pending.version + 1,
        updated_at = greatest(now(), pending.updated_at)
    WHERE pending.id = complete_task.task_id
    RETURNING * INTO task;
    RETURN changed(task, 'task.completed', outbox);
END $$;

CREATE OR REPLACE FUNCTION reopen_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks AS done
    WHERE done.id = reopen_task.task_id AND done.user_id = reopen_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    ELSIF task.version <> ALL (versions) THEN
        RETURN answer('precondition_failed');
    ELSIF NOT task.completed THEN
        RETURN answer('unchanged', task);
    END IF;
    UPDATE tasks AS done SET
        completed = false,
        completed_at = NULL,
        version = done.version + 1,
        updated_at = greatest(now(), done.updated_at)
    WHERE done.id = reopen_task.task_id
    RETURNING * INTO task;
    RETURN changed(task, 'task.updated', outbox, '{"changed_fields": ["completed", "completed_at"]}');
END $$;

-- Creates the task that follows a completed one in its series, unless the event was handled before, the completed task is
-- gone, or it has its successor. The completed task is locked, so that it cannot be deleted meanwhile. The successor's
-- natural key outlives both tasks: neither reopening nor deleting makes a second one.
CREATE OR REPLACE FUNCTION create_successor(
    event_id uuid, user_id text, task_id uuid, occurrence integer, successor_id uuid, fields jsonb, outbox jsonb
) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks := jsonb_populate_record(NULL::tasks, fields);
BEGIN
    IF NOT claim_event('recurrence', event_id) THEN
        RETURN answer('unchanged');
    END IF;
    PERFORM FROM tasks AS completed
    WHERE completed.id = create_successor.task_id AND completed.user_id = create_successor.user_id
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    END IF;
    INSERT INTO task_successors (task_id, occurrence, successor_id)
    VALUES (create_successor.task_id, create_successor.occurrence, create_successor.successor_id)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN answer('unchanged');
    END IF;
    task.id := create_successor.successor_id;
    task.user_id := create_successor.user_id;
    task.completed := false;
    task.version := 1;
    task.created_at := now();
    task.updated_at := now();
    INSERT INTO tasks VALUES (task.*);
    RETURN changed(task, 'task.created', outbox);
END $$;

DROP FUNCTION skip_task(text, uuid, jsonb, bigint[]), with_recurrence(tasks, tasks, jsonb), recurrence_of(tasks), interval_of(text);

-- What the version before does not know: a rule that is no interval ends its series, a skipped task counts as completed.
UPDATE tasks SET is_recurring = false WHERE is_recurring AND recurring_interval IS NULL;
UPDATE tasks SET completed = true, completed_at = skipped_at WHERE skipped_at IS NOT NULL;
ALTER TABLE tasks DROP COLUMN recurrence, DROP COLUMN wall_clock_due, DROP COLUMN skipped_at;
