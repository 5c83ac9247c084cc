-- What operators need: preconditions of all changes.

SET lock_timeout = '2s';
SET statement_timeout = 0;

-- Another parameter, with a default: the version before goes on calling without it.
DROP FUNCTION complete_task(text, uuid, jsonb);
DROP FUNCTION reopen_task(text, uuid, jsonb);
DROP FUNCTION delete_task(text, uuid, jsonb);

CREATE OR REPLACE FUNCTION complete_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS jsonb LANGUAGE plpgsql AS $$
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
    RETURN answer('changed', task, append_event(
        outbox, task.user_id, task.id, 'task.completed', 'tasks', task_data(task)
    ));
END $$;

CREATE OR REPLACE FUNCTION reopen_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS jsonb LANGUAGE plpgsql AS $$
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
    RETURN answer('changed', task, append_event(
        outbox, task.user_id, task.id, 'task.updated', 'tasks',
        task_data(task) || jsonb_build_object('changed_fields', jsonb_build_array('completed', 'completed_at'))
    ));
END $$;

-- Leaves no task to show.
CREATE OR REPLACE FUNCTION delete_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS jsonb LANGUAGE plpgsql AS $$
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

-- What an operator can do about a lane.
-- Lets a lane's turn come now, whatever it rests for. The outcome is `retried`, `held` (somebody is publishing its next
-- event) or `published` (nothing waits).
CREATE OR REPLACE FUNCTION retry_lane(user_id text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    turn publish_queue;
BEGIN
    PERFORM FROM lanes AS lane WHERE lane.user_id = retry_lane.user_id FOR NO KEY UPDATE;
    SELECT * INTO turn FROM publish_queue AS queued WHERE queued.user_id = retry_lane.user_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN '{"outcome": "published"}';
    ELSIF turn.held_until > clock_timestamp() THEN
        RETURN '{"outcome": "held"}';
    END IF;
    UPDATE publish_queue AS queued SET turn_at = least(queued.turn_at, clock_timestamp())
    WHERE queued.user_id = retry_lane.user_id;
    RETURN '{"outcome": "retried"}';
END $$;

-- Moves a lane past its next event, which must have this number and block the lane. The event stays stored and becomes a
-- dead letter, to be replayed or discarded: one that was never in the topic, so its partition is -1 and its offset the
-- number. Of an event that is missing there is nothing to keep. The outcome is `skipped`, or why nothing changed:
-- `not_next` (`next` is the number that is, where any is), `not_blocked`, or `held` (somebody is publishing it just now).
-- It is not counted for analytics, which count what was published.
CREATE OR REPLACE FUNCTION skip_event(user_id text, sequence bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    lane lanes;
    turn publish_queue;
    event events;
    letter jsonb;
BEGIN
    SELECT * INTO lane FROM lanes AS l WHERE l.user_id = skip_event.user_id FOR NO KEY UPDATE;
    SELECT * INTO turn FROM publish_queue AS queued WHERE queued.user_id = skip_event.user_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN '{"outcome": "not_next"}';
    ELSIF lane.published + 1 <> skip_event.sequence THEN
        RETURN jsonb_build_object('outcome', 'not_next', 'next', lane.published + 1);
    ELSIF turn.held_until > clock_timestamp() THEN
        RETURN '{"outcome": "held"}';
    ELSIF NOT turn.blocked THEN
        RETURN '{"outcome": "not_blocked"}';
    END IF;
    SELECT * INTO event FROM events AS next
    WHERE next.user_id = skip_event.user_id AND next.sequence = skip_event.sequence AND next.time >= turn.since;
    IF FOUND THEN
        letter := record_dead_letter(
            letter_id => gen_random_uuid(),
            topic => event.topic,
            kafka_partition => -1,
            kafka_offset => event.sequence,
            payload => convert_to((outbound_event(event) -> 'event')::text, 'UTF8'),
            event_id => event.id::text,
            event_type => event.type,
            user_id => event.user_id
        );
    END IF;
    UPDATE lanes AS l SET published = skip_event.sequence WHERE l.user_id = skip_event.user_id;
    IF skip_event.sequence = lane.head THEN
        DELETE FROM publish_queue AS queued WHERE queued.user_id = skip_event.user_id;
    ELSE
        UPDATE publish_queue AS queued SET
            turn_at = clock_timestamp(),
            since = coalesce(event.time, queued.since),
            holder = NULL,
            held_until = NULL,
            attempts = 0,
            blocked = false
        WHERE queued.user_id = skip_event.user_id;
    END IF;
    RETURN jsonb_build_object('outcome', 'skipped', 'letter', letter ->> 'id', 'left', lane.head - skip_event.sequence);
END $$;

-- After a restore to the past.
-- After a restore to a moment in the past, Kafka and its consumers know events that the database does not. Raises the numbers
-- of all lanes, and of what is still to be published, by so much that none of those is given again, and lets lanes that begin
-- later begin there too: their user may have had events in the time that was lost. Tells how many lanes were raised, how
-- many events, and where new lanes begin. To be called before the service starts.
CREATE OR REPLACE FUNCTION raise_lanes(by bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    start bigint;
    events_raised bigint;
    lanes_raised bigint;
BEGIN
    IF by IS NULL OR by < 1 THEN
        RAISE 'lanes can only be raised';
    END IF;
    -- Nobody takes a number meanwhile.
    LOCK TABLE lanes IN EXCLUSIVE MODE;
    UPDATE events AS event SET sequence = event.sequence + by
    FROM lanes AS lane
    WHERE lane.published < lane.head AND event.user_id = lane.user_id AND event.sequence > lane.published;
    GET DIAGNOSTICS events_raised = ROW_COUNT;
    UPDATE lanes SET head = head + by, published = published + by;
    GET DIAGNOSTICS lanes_raised = ROW_COUNT;
    SELECT coalesce(max((regexp_match(pg_get_triggerdef(oid), '''(\d+)'''))[1]::bigint), 0) + by INTO start
    FROM pg_trigger WHERE tgrelid = 'lanes'::regclass AND tgname = 'lanes_begin_later';
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER lanes_begin_later BEFORE INSERT ON lanes FOR EACH ROW EXECUTE FUNCTION begin_lane_later(%L)',
        start
    );
    RETURN jsonb_build_object('lanes', lanes_raised, 'events', events_raised, 'start', start);
END $$;

-- A lane that begins after raise_lanes.
CREATE OR REPLACE FUNCTION begin_lane_later() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.head := NEW.head + TG_ARGV[0]::bigint;
    NEW.published := NEW.published + TG_ARGV[0]::bigint;
    RETURN NEW;
END $$;

-- An end for what had none. Each index is small beside the tables that grow with traffic; what writes to its table waits
-- while it is made.
CREATE INDEX analytics_daily_by_day ON analytics_daily (day);
CREATE INDEX task_successors_by_successor ON task_successors (successor_id);

DROP FUNCTION expire_rows(integer, bigint, bigint, bigint, bigint, bigint);

-- Deletes what has been kept long enough, at most so many rows of each kind; how many rows that were, and whether there may
-- be more. Events and claims are dropped with their partitions, but for what lies in the default ones. Ids of notifications
-- and of successors are UUIDv7, which tell their age. A period that is NULL has no end.
CREATE OR REPLACE FUNCTION expire_rows(
    most integer, idempotency_keys_seconds bigint, read_notifications_seconds bigint, dead_letters_seconds bigint,
    events_seconds bigint, processed_ids_seconds bigint, unread_notifications_seconds bigint DEFAULT NULL,
    analytics_seconds bigint DEFAULT NULL
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
    DELETE FROM notifications WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM notifications
        WHERE id < first_uuid(now - second * unread_notifications_seconds) AND read_at IS NULL
        ORDER BY id
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    DELETE FROM analytics_daily WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM analytics_daily
        WHERE day < ((now - second * analytics_seconds) AT TIME ZONE 'UTC')::date
        ORDER BY day
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    -- What could ask for the same successor once more is forgotten by then.
    DELETE FROM task_successors WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM task_successors
        WHERE successor_id < first_uuid(now - second * processed_ids_seconds)
        ORDER BY successor_id
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
