SET lock_timeout = '2s';
SET statement_timeout = 0;

ALTER TABLE reminders RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_delay);
DROP FUNCTION expire_rows;
DROP INDEX task_successors_by_successor;
DROP INDEX analytics_daily_by_day;
DROP TRIGGER IF EXISTS lanes_begin_later ON lanes;
DROP FUNCTION begin_lane_later;
DROP FUNCTION raise_lanes;
DROP FUNCTION skip_event;
DROP FUNCTION retry_lane;

DROP FUNCTION complete_task(text, uuid, jsonb, bigint[]);
DROP FUNCTION reopen_task(text, uuid, jsonb, bigint[]);
DROP FUNCTION delete_task(text, uuid, jsonb, bigint[]);

CREATE OR REPLACE FUNCTION complete_task(user_id text, task_id uuid, outbox jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks AS pending
    WHERE pending.id = complete_task.task_id AND pending.user_id = complete_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
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
    RETURN answer('changed', task, append_event(
        outbox, task.user_id, task.id, 'task.completed', 'tasks', task_data(task)
    ));
END $$;

CREATE OR REPLACE FUNCTION reopen_task(user_id text, task_id uuid, outbox jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks AS done
    WHERE done.id = reopen_task.task_id AND done.user_id = reopen_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
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
    RETURN answer('changed', task, append_event(
        outbox, task.user_id, task.id, 'task.updated', 'tasks',
        task_data(task) || jsonb_build_object('changed_fields', jsonb_build_array('completed', 'completed_at'))
    ));
END $$;

CREATE OR REPLACE FUNCTION delete_task(user_id text, task_id uuid, outbox jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
BEGIN
    DELETE FROM tasks AS gone
    WHERE gone.id = delete_task.task_id AND gone.user_id = delete_task.user_id
    RETURNING * INTO task;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    END IF;
    RETURN answer('changed', NULL, append_event(
        outbox, task.user_id, task.id, 'task.deleted', 'tasks',
        jsonb_build_object(
            'task_id', task.id,
            'user_id', task.user_id,
            'title', task.title,
            'due_date', rfc3339(task.due_date),
            'was_completed', task.completed
        )
    ));
END $$;

CREATE OR REPLACE FUNCTION expire_rows(
    most integer, idempotency_keys_seconds bigint, read_notifications_seconds bigint, dead_letters_seconds bigint,
    events_seconds bigint, processed_ids_seconds bigint
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    now timestamptz := statement_timestamp();
    second interval := interval '1 second';
    deleted bigint;
    total bigint := 0;
    more boolean := false;
BEGIN
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys
        WHERE created_at < now - second * idempotency_keys_seconds
        ORDER BY created_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    DELETE FROM notifications WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM notifications
        WHERE read_at IS NOT NULL AND read_at < now - second * read_notifications_seconds
        ORDER BY read_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    DELETE FROM dead_letters WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM dead_letters
        WHERE status <> 'open' AND resolved_at < now - second * dead_letters_seconds
        ORDER BY resolved_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    DELETE FROM reminders WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM reminders
        WHERE status <> 'scheduled' AND updated_at < now - second * processed_ids_seconds
        ORDER BY updated_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    DELETE FROM processed_events_default WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM processed_events_default
        WHERE processed_at < now - second * processed_ids_seconds
        ORDER BY processed_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    DELETE FROM events_default WHERE ctid = ANY (ARRAY(
        SELECT event.ctid FROM events_default AS event
        WHERE event.time < now - second * events_seconds
            AND event.sequence <= (SELECT lane.published FROM lanes AS lane WHERE lane.user_id = event.user_id)
        ORDER BY event.time
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    RETURN jsonb_build_object('deleted', total, 'more', more);
END $$;

CREATE OR REPLACE FUNCTION create_task(
    user_id text, task_id uuid, fields jsonb, anchor_day smallint, key text, request_hash bytea, outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
    first record;
BEGIN
    IF key IS NOT NULL THEN
        INSERT INTO idempotency_keys AS taken (user_id, key, request_hash, event_id)
        VALUES (create_task.user_id, create_task.key, create_task.request_hash, (outbox ->> 'event_id')::uuid)
        ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE SET
            request_hash = excluded.request_hash, event_id = excluded.event_id, created_at = excluded.created_at
        WHERE taken.created_at <= clock_timestamp() - interval '24 hours';
        IF NOT FOUND THEN
            -- A statement of its own: it sees what whoever took the key has committed meanwhile.
            SELECT taken.request_hash = create_task.request_hash AS same, event.data, event.task_id INTO first
            FROM idempotency_keys AS taken JOIN events AS event ON event.id = taken.event_id
            WHERE taken.user_id = create_task.user_id AND taken.key = create_task.key;
            IF NOT FOUND THEN
                RAISE 'the event of an idempotency key is gone';
            ELSIF NOT first.same THEN
                RETURN answer('key_reused');
            END IF;
            RETURN jsonb_build_object(
                'outcome', 'repeated',
                'task', first.data - 'task_id' - 'timestamp' || jsonb_build_object('id', first.task_id)
            );
        END IF;
    END IF;
    INSERT INTO tasks AS created (
        id, user_id, title, description, priority, tags, due_date, timezone, is_recurring, recurring_interval,
        series_id, occurrence, anchor_day, created_at, updated_at
    )
    SELECT
        create_task.task_id, create_task.user_id, title, description, priority, tags, due_date, timezone,
        is_recurring, recurring_interval, create_task.task_id, 1, create_task.anchor_day, now(), now()
    FROM jsonb_populate_record(NULL::tasks, fields) AS new
    RETURNING * INTO task;
    RETURN answer('changed', task, append_event(
        outbox, task.user_id, task.id, 'task.created', 'tasks', task_data(task)
    ));
END $$;

CREATE OR REPLACE FUNCTION update_task(
    user_id text, task_id uuid, patch jsonb, versions bigint[], new_anchor_day smallint, dated timestamptz,
    zoned text, outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    old tasks;
    new tasks;
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
    ELSIF (new.due_date, new.timezone) IS DISTINCT FROM (old.due_date, old.timezone) THEN
        IF (new.due_date, new.timezone) IS DISTINCT FROM (dated, zoned) THEN
            RETURN answer('date_moved');
        END IF;
        new.anchor_day := new_anchor_day;
    END IF;
    SELECT jsonb_agg(field.key ORDER BY field.key) INTO changed_fields
    FROM jsonb_each(task_json(new)) AS field
    WHERE field.value IS DISTINCT FROM task_json(old) -> field.key;
    IF changed_fields IS NULL THEN
        RETURN answer('unchanged', old);
    END IF;
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
    RETURN answer('changed', new, append_event(
        outbox, new.user_id, new.id, 'task.updated', 'tasks',
        task_data(new) || jsonb_build_object('changed_fields', changed_fields)
    ));
END $$;

CREATE OR REPLACE FUNCTION create_successor(
    event_id uuid, user_id text, task_id uuid, occurrence integer, successor_id uuid, fields jsonb, outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
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
    INSERT INTO tasks AS created (
        id, user_id, title, description, priority, tags, due_date, timezone, is_recurring, recurring_interval,
        series_id, occurrence, anchor_day, created_at, updated_at
    )
    SELECT
        create_successor.successor_id, create_successor.user_id, new.title, new.description, new.priority, new.tags,
        new.due_date, new.timezone, new.is_recurring, new.recurring_interval, new.series_id, new.occurrence,
        new.anchor_day, now(), now()
    FROM jsonb_populate_record(NULL::tasks, fields) AS new
    RETURNING * INTO task;
    RETURN answer('changed', task, append_event(
        outbox, task.user_id, task.id, 'task.created', 'tasks', task_data(task)
    ));
END $$;

CREATE OR REPLACE FUNCTION apply_reminder(
    event_id uuid, sequence bigint, user_id text, task_id uuid, moment timestamptz, due_date timestamptz, reason text,
    outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
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
        INSERT INTO reminders (task_id, user_id, sequence, status)
        VALUES (apply_reminder.task_id, apply_reminder.user_id, -1, 'cancelled')
        ON CONFLICT DO NOTHING;
        SELECT * INTO was FROM reminders AS r WHERE r.task_id = apply_reminder.task_id FOR UPDATE;
    END IF;
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
    IF (reminder.status, reminder.alarm_wanted) IS DISTINCT FROM (was.status, was.alarm_wanted) THEN
        emitted := append_event(
            outbox, was.user_id, was.task_id, 'reminder.' || reminder.status, 'reminders',
            jsonb_build_object('task_id', was.task_id, 'user_id', was.user_id) || CASE reminder.status
                WHEN 'scheduled' THEN jsonb_build_object(
                    'remind_at', rfc3339(reminder.remind_at), 'due_date', rfc3339(reminder.due_date)
                )
                ELSE jsonb_build_object('reason', reason)
            END
        );
    END IF;
    RETURN jsonb_build_object('emitted', emitted, 'alarm', alarm_json(reminder, outbox ->> 'sidecar'));
END $$;

CREATE OR REPLACE FUNCTION ring_reminder(task_id uuid, outbox jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION notify_user(
    event_id uuid, notification_id uuid, user_id text, task_id uuid, task_title text, remind_at timestamptz
) RETURNS jsonb LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION record_alarm(task_id uuid, alarm timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reminders AS r SET alarm_set = record_alarm.alarm
    WHERE r.task_id = record_alarm.task_id
        AND (
            r.alarm_wanted IS NOT DISTINCT FROM record_alarm.alarm
            OR record_alarm.alarm IS NULL AND r.alarm_wanted > statement_timestamp() + alarm_horizon()
        );
    RETURN 'null';
END $$;
