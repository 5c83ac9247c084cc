SET lock_timeout = '2s';
SET statement_timeout = 0;

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
