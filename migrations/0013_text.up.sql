-- Tasks are put together as text: once for a list, an answer or an event, instead of three times as jsonb.

SET lock_timeout = '2s';
SET statement_timeout = 0;

DROP FUNCTION answer(text, tasks, jsonb),
    read_task(text, uuid),
    changed(tasks, text, jsonb, jsonb),
    create_task(text, uuid, jsonb, text, bytea, jsonb),
    update_task(text, uuid, jsonb, bigint[], jsonb),
    complete_task(text, uuid, jsonb, bigint[]),
    reopen_task(text, uuid, jsonb, bigint[]),
    delete_task(text, uuid, jsonb, bigint[]),
    create_successor(uuid, text, uuid, integer, uuid, jsonb, jsonb);

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

CREATE OR REPLACE FUNCTION task_json(task tasks) RETURNS jsonb LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN task_text(task);
END $$;

-- The answer of a change: what became of it, the task as it is now, and the event.
CREATE OR REPLACE FUNCTION answer(outcome text, task tasks DEFAULT NULL, emitted jsonb DEFAULT NULL) RETURNS json
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN '{"outcome":"' || outcome
        || '","task":' || CASE WHEN task.id IS NULL THEN 'null' ELSE task_text(task) END
        || ',"emitted":' || coalesce(emitted::text, 'null') || '}';
END $$;

CREATE OR REPLACE FUNCTION read_task(user_id text, task_id uuid) RETURNS json LANGUAGE plpgsql STABLE
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks AS own WHERE own.id = read_task.task_id AND own.user_id = read_task.user_id;
    RETURN CASE WHEN FOUND THEN task_text(task) END;
END $$;

-- The answer of a change that leaves a task, which is rendered once, for the answer and for its event. `more` is what else
-- the event's data says; the task's `id` is `task_id` there.
CREATE OR REPLACE FUNCTION changed(task tasks, event_type text, outbox jsonb, more jsonb DEFAULT '{}') RETURNS json
    LANGUAGE plpgsql
AS $$
DECLARE
    shown text := task_text(task);
    emitted jsonb := append_event(
        outbox, task.user_id, task.id, event_type, 'tasks',
        shown::jsonb - 'id' || jsonb_build_object('task_id', task.id) || more
    );
BEGIN
    RETURN '{"outcome":"changed","task":' || shown || ',"emitted":' || emitted || '}';
END $$;

-- A key that is taken gives the first answer again, for a day, if the request is the same. The task as it was created is
-- in its event.
CREATE OR REPLACE FUNCTION create_task(
    user_id text, task_id uuid, fields jsonb, key text, request_hash bytea, outbox jsonb
) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks := jsonb_populate_record(NULL::tasks, fields);
    first record;
BEGIN
    IF task.due_date IS NOT NULL THEN
        task.anchor_day := anchor_day_of(task.due_date, task.timezone);
        IF task.anchor_day IS NULL THEN
            RETURN answer('unknown_time_zone');
        END IF;
    END IF;
    -- Not for a request that was answered before. A few that come at the same time may pass; the next instance of a
    -- recurring task always does.
    IF (SELECT lane.tasks >= most_tasks() FROM lanes AS lane WHERE lane.user_id = create_task.user_id)
        AND NOT EXISTS (
            SELECT FROM idempotency_keys AS taken
            WHERE taken.user_id = create_task.user_id AND taken.key = create_task.key
                AND taken.created_at > clock_timestamp() - interval '24 hours'
        )
    THEN
        RETURN answer('too_many_tasks');
    END IF;
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
            RETURN json_build_object(
                'outcome', 'repeated',
                'task', first.data - 'task_id' - 'timestamp' || jsonb_build_object('id', first.task_id)
            );
        END IF;
    END IF;
    task.id := create_task.task_id;
    task.user_id := create_task.user_id;
    task.completed := false;
    task.series_id := create_task.task_id;
    task.occurrence := 1;
    task.version := 1;
    task.created_at := now();
    task.updated_at := now();
    INSERT INTO tasks VALUES (task.*);
    RETURN changed(task, 'task.created', outbox);
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

-- Leaves no task to show.
CREATE OR REPLACE FUNCTION delete_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
BEGIN
    DELETE FROM tasks AS gone
    WHERE gone.id = delete_task.task_id
        AND gone.user_id = delete_task.user_id
        AND coalesce(gone.version = ANY (versions), true)
    RETURNING * INTO task;
    IF NOT FOUND THEN
        RETURN answer(CASE
            WHEN EXISTS (
                SELECT FROM tasks AS kept
                WHERE kept.id = delete_task.task_id AND kept.user_id = delete_task.user_id
            ) THEN 'precondition_failed'
            ELSE 'not_found'
        END);
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
