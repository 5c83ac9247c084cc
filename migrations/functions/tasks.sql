-- Changes of tasks: one function for each operation of the API. Each locks the task, decides, changes it and appends the
-- event; what it returns is what the API answers from: {"outcome", "task", "emitted"}. `versions` is what the client requires
-- the task's version to be one of; NULL is any.
--
-- Where a pooler shares prepared statements, the role plans every statement anew (k8s/postgres/cluster.yaml). What these
-- functions run is looked up by key, whoever the user is: here plans are kept, which saves a third of a create's time.

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

-- The day of the month that a series with this due date aims at; NULL where PostgreSQL does not know the zone.
CREATE OR REPLACE FUNCTION anchor_day_of(due_date timestamptz, zone text) RETURNS smallint
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN extract(day FROM due_date AT TIME ZONE zone);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN NULL;
END $$;

-- How many tasks a user may have: what a filter reads, and so for how long one request may keep a processor.
CREATE OR REPLACE FUNCTION most_tasks() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 50000;

-- For a lane that does not know it yet; from then on the lane counts with each event.
CREATE OR REPLACE FUNCTION count_tasks(user_id text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT count(*) FROM tasks AS own WHERE own.user_id = count_tasks.user_id);
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

-- The interval that says the same as a rule, where there is one.
CREATE OR REPLACE FUNCTION interval_of(rule text) RETURNS recurring_interval
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN CASE rule WHEN 'FREQ=DAILY' THEN 'daily' WHEN 'FREQ=WEEKLY' THEN 'weekly' WHEN 'FREQ=MONTHLY' THEN 'monthly' END;
END $$;

-- A task after a patch of how it recurs: by `recurrence`, whose members are merged one by one, by the simple fields, or by
-- both where they say the same. NULL where the simple fields leave an interval that does not recur, or the reverse.
CREATE OR REPLACE FUNCTION with_recurrence(old tasks, new tasks, patch jsonb) RETURNS tasks LANGUAGE plpgsql STABLE AS $$
DECLARE
    before jsonb := recurrence_of(old);
    rule text := CASE
        WHEN jsonb_typeof(patch -> 'recurrence') = 'null' THEN NULL
        WHEN patch #> '{recurrence,rule}' IS NOT NULL THEN patch #>> '{recurrence,rule}'
        WHEN new.recurring_interval IS DISTINCT FROM old.recurring_interval
            THEN 'FREQ=' || upper(new.recurring_interval::text)
        WHEN NOT new.is_recurring AND new.recurring_interval IS NULL THEN NULL
        ELSE before ->> 'rule'
    END;
BEGIN
    IF patch ? 'recurrence' THEN
        new.is_recurring := jsonb_typeof(patch -> 'recurrence') <> 'null';
    END IF;
    IF new.is_recurring <> (rule IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    new.recurring_interval := interval_of(rule);
    new.recurrence := CASE WHEN rule IS NOT NULL THEN
        '{"from": "schedule", "missed": "skip"}' || coalesce(before, '{}') || coalesce(patch -> 'recurrence', '{}')
            || jsonb_build_object('rule', rule)
    END;
    IF new.recurrence = before THEN
        new.recurrence := old.recurrence;
    END IF;
    RETURN new;
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

-- A task that was skipped can be completed all the same: its successor is there already, and there is one for each task.
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
        skipped_at = NULL,
        version = pending.version + 1,
        updated_at = greatest(now(), pending.updated_at)
    WHERE pending.id = complete_task.task_id
    RETURNING * INTO task;
    RETURN changed(task, 'task.completed', outbox);
END $$;

-- Ends an instance of a recurring task without completing it; the next one follows from the event.
CREATE OR REPLACE FUNCTION skip_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks AS pending
    WHERE pending.id = skip_task.task_id AND pending.user_id = skip_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    ELSIF task.version <> ALL (versions) THEN
        RETURN answer('precondition_failed');
    ELSIF task.skipped_at IS NOT NULL THEN
        RETURN answer('unchanged', task);
    ELSIF task.completed THEN
        RETURN answer('completed');
    ELSIF NOT task.is_recurring THEN
        RETURN answer('not_recurring');
    END IF;
    UPDATE tasks AS pending SET
        skipped_at = greatest(now(), pending.updated_at),
        version = pending.version + 1,
        updated_at = greatest(now(), pending.updated_at)
    WHERE pending.id = skip_task.task_id
    RETURNING * INTO task;
    RETURN changed(task, 'task.skipped', outbox);
END $$;

CREATE OR REPLACE FUNCTION reopen_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
    was tasks;
BEGIN
    SELECT * INTO was FROM tasks AS done
    WHERE done.id = reopen_task.task_id AND done.user_id = reopen_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    ELSIF was.version <> ALL (versions) THEN
        RETURN answer('precondition_failed');
    ELSIF NOT was.completed AND was.skipped_at IS NULL THEN
        RETURN answer('unchanged', was);
    END IF;
    UPDATE tasks AS done SET
        completed = false,
        completed_at = NULL,
        skipped_at = NULL,
        version = done.version + 1,
        updated_at = greatest(now(), done.updated_at)
    WHERE done.id = reopen_task.task_id
    RETURNING * INTO task;
    RETURN changed(task, 'task.updated', outbox, CASE
        WHEN was.completed THEN jsonb '{"changed_fields": ["completed", "completed_at"]}'
        ELSE '{"changed_fields": ["skipped_at"]}'
    END);
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

-- Creates the task that follows a completed or skipped one in its series, unless the event was handled before, that task is
-- gone, or it has its successor. It is locked, so that it cannot be deleted meanwhile. The successor's
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
    PERFORM FROM tasks AS ended
    WHERE ended.id = create_successor.task_id AND ended.user_id = create_successor.user_id
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
