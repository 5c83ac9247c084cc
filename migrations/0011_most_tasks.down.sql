SET lock_timeout = '2s';
SET statement_timeout = 0;

-- Appends an event: takes the next number of the user's lane under the lane's lock, queues the lane, and becomes the
-- sidecar's publisher if there is none. Tells the number, whether the caller is the publisher now, and, where its own
-- event is the lane's next and the lane taken for it, the event to begin with.
-- `outbox` is what the component says of the event: {"event_id", "traceparent", "causation_id", "sidecar", "token"}.
-- A statement that appends several events does so in the order of user ids, without a token, and then calls
-- become_publisher itself, once: no lane is waited for with the sidecar's lock in hand.
CREATE OR REPLACE FUNCTION append_event(
    outbox jsonb, user_id text, task_id uuid, type text, topic text, data jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    token uuid := outbox ->> 'token';
    lane lanes;
    appended events;
    now timestamptz;
    is_publisher boolean;
    is_next boolean;
BEGIN
    INSERT INTO lanes AS l (user_id, head) VALUES (append_event.user_id, 1)
    ON CONFLICT ON CONSTRAINT lanes_pkey DO UPDATE SET head = l.head + 1
    RETURNING * INTO lane;
    now := clock_timestamp();
    INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, causation_id, traceparent, data)
    VALUES (
        append_event.user_id,
        lane.head,
        now,
        (outbox ->> 'event_id')::uuid,
        append_event.type,
        append_event.topic,
        append_event.task_id,
        (outbox ->> 'causation_id')::uuid,
        outbox ->> 'traceparent',
        append_event.data || jsonb_build_object('timestamp', rfc3339(now))
    )
    RETURNING * INTO appended;
    is_publisher := token IS NOT NULL AND become_publisher(outbox ->> 'sidecar', token);
    is_next := lane.head = lane.published + 1;
    -- The row is there unless the event is the lane's next. Were it missing all the same, this would mend it.
    INSERT INTO publish_queue (user_id, turn_at, since, holder, held_until)
    VALUES (
        append_event.user_id,
        now,
        CASE WHEN is_next THEN now ELSE '-infinity' END,
        CASE WHEN is_next AND is_publisher THEN token END,
        CASE WHEN is_next AND is_publisher THEN now + lane_lease() END
    )
    ON CONFLICT DO NOTHING;
    RETURN jsonb_build_object(
        'sequence', lane.head,
        'publisher', is_publisher,
        'event', CASE WHEN FOUND AND is_next AND is_publisher THEN outbound_event(appended) END
    );
END $$;

-- A key that is taken gives the first answer again, for a day, if the request is the same. The task as it was created is
-- in its event.
CREATE OR REPLACE FUNCTION create_task(
    user_id text, task_id uuid, fields jsonb, key text, request_hash bytea, outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql
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

DROP FUNCTION count_tasks, most_tasks;
ALTER TABLE lanes DROP COLUMN tasks;
