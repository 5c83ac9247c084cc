-- Many operations on tasks in one statement.

SET lock_timeout = '2s';
SET statement_timeout = 0;

-- `operations` are [{"op", "task_id", "event_id", …}] in their order; what follows depends on `op`: "fields" and perhaps "key"
-- and "request_hash" (in hex) of a create, "patch" of an update, "versions" of all others. A create's "task_id" is the new
-- task's. Tells the answer of each in the same order, and whether the caller is the sidecar's publisher now, where there
-- are events to publish.
--
-- All that another statement may wait for is locked before the first operation takes the user's lane: tasks by id, then
-- idempotency keys in their order. Otherwise two batches could wait for each other.
CREATE OR REPLACE FUNCTION change_tasks(user_id text, operations jsonb, outbox jsonb) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    named uuid[] := ARRAY(
        SELECT (each ->> 'task_id')::uuid FROM jsonb_array_elements(operations) AS each WHERE each ->> 'op' <> 'create'
    );
    claimed uuid[];
    operation jsonb;
    task_id uuid;
    versions bigint[];
    is_claimed boolean;
    -- Without a token: who publishes is settled once, in the end.
    own_outbox jsonb;
    answer json;
    answers text[] := '{}';
    has_emitted boolean := false;
BEGIN
    PERFORM FROM tasks AS task
    WHERE task.id = ANY (named) AND task.user_id = change_tasks.user_id
    ORDER BY task.id
    FOR UPDATE;
    WITH wanted AS (
        SELECT DISTINCT ON (each ->> 'key')
            each ->> 'key' AS key,
            decode(each ->> 'request_hash', 'hex') AS request_hash,
            (each ->> 'event_id')::uuid AS event_id
        FROM jsonb_array_elements(operations) WITH ORDINALITY AS numbered (each, place)
        WHERE each ->> 'op' = 'create' AND each ->> 'key' IS NOT NULL
        ORDER BY each ->> 'key', place
    ), taken AS (
        INSERT INTO idempotency_keys AS taken (user_id, key, request_hash, event_id)
        SELECT change_tasks.user_id, wanted.key, wanted.request_hash, wanted.event_id FROM wanted ORDER BY wanted.key
        ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE SET
            request_hash = excluded.request_hash, event_id = excluded.event_id, created_at = excluded.created_at
        WHERE taken.created_at <= clock_timestamp() - interval '24 hours'
        RETURNING taken.event_id
    )
    SELECT array_agg(event_id) INTO claimed FROM taken;
    FOR operation IN SELECT each FROM jsonb_array_elements(operations) WITH ORDINALITY AS numbered (each, place) ORDER BY place
    LOOP
        task_id := operation ->> 'task_id';
        versions := CASE
            WHEN operation ->> 'versions' IS NOT NULL
            THEN ARRAY(SELECT version::bigint FROM jsonb_array_elements_text(operation -> 'versions') AS version)
        END;
        own_outbox := outbox || jsonb_build_object('event_id', operation -> 'event_id', 'token', NULL);
        CASE operation ->> 'op'
            WHEN 'create' THEN
                -- A key that was claimed above is this operation's. Any other is taken, by an operation before or earlier.
                is_claimed := coalesce((operation ->> 'event_id')::uuid = ANY (claimed), false);
                answer := create_task(
                    user_id => change_tasks.user_id,
                    task_id => task_id,
                    fields => operation -> 'fields',
                    key => CASE WHEN NOT is_claimed THEN operation ->> 'key' END,
                    request_hash => decode(operation ->> 'request_hash', 'hex'),
                    outbox => own_outbox
                );
                IF is_claimed AND answer ->> 'outcome' <> 'changed' THEN
                    DELETE FROM idempotency_keys AS free
                    WHERE free.user_id = change_tasks.user_id AND free.key = operation ->> 'key';
                END IF;
            WHEN 'update' THEN
                answer := update_task(
                    user_id => change_tasks.user_id,
                    task_id => task_id,
                    patch => operation -> 'patch',
                    versions => versions,
                    outbox => own_outbox
                );
            WHEN 'complete' THEN
                answer := complete_task(
                    user_id => change_tasks.user_id, task_id => task_id, outbox => own_outbox, versions => versions
                );
            WHEN 'reopen' THEN
                answer := reopen_task(
                    user_id => change_tasks.user_id, task_id => task_id, outbox => own_outbox, versions => versions
                );
            WHEN 'skip' THEN
                answer := skip_task(
                    user_id => change_tasks.user_id, task_id => task_id, outbox => own_outbox, versions => versions
                );
            WHEN 'delete' THEN
                answer := delete_task(
                    user_id => change_tasks.user_id, task_id => task_id, outbox => own_outbox, versions => versions
                );
        END CASE;
        has_emitted := has_emitted OR answer ->> 'outcome' = 'changed';
        answers := array_append(answers, answer::text);
    END LOOP;
    RETURN '{"answers":[' || array_to_string(answers, ',') || '],"emitted":' || CASE
        WHEN has_emitted THEN '{"publisher":' || coalesce(
            outbox ->> 'token' IS NOT NULL AND become_publisher(outbox ->> 'sidecar', (outbox ->> 'token')::uuid), false
        ) || '}'
        ELSE 'null'
    END || '}';
END $$;
