-- The outbox: lanes number a user's events, a queue says which lanes wait for publishing, and each sidecar has at most
-- one publisher. Needs READ COMMITTED: each statement of a function must see what was committed before it began.
--
-- Locks, in this order everywhere: tasks by id, reminders, idempotency keys in their order, lanes by user id, the advisory
-- lock of a sidecar, its row of publishers. Rows of the queue change under their lane's lock, so nobody waits for them. Who has a sidecar's lock or row
-- waits for nothing more: both are free again with the next commit.

-- For how long a lane is taken; longer than a publish can take.
CREATE OR REPLACE FUNCTION lane_lease() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN interval '10 seconds';
-- For how long a publisher is believed without a sign of life; longer than a publish can take.
CREATE OR REPLACE FUNCTION publisher_lease() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN interval '5 seconds';
-- By how much a commit may come after the instants in it. The relay sets queue_from to -infinity once a minute, for the
-- one that takes longer.
CREATE OR REPLACE FUNCTION late_commit() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN interval '12 seconds';
-- After which time a publisher may be relieved.
CREATE OR REPLACE FUNCTION publisher_stint() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN interval '5 seconds';
-- For how long a lane rests whose event was refused for good, or is missing.
CREATE OR REPLACE FUNCTION blocked_rest() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN interval '5 minutes';

-- 1 s, 2 s, 4 s … at most 60 s.
CREATE OR REPLACE FUNCTION rest_after(attempts integer) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN least(60, 2 ^ least(attempts, 6)) * interval '1 second';

CREATE OR REPLACE FUNCTION sidecar_lock(sidecar_name text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtextextended('publisher of ' || sidecar_name, 0);

-- Makes the caller the publisher of the sidecar, unless there is one or the breaker is open. Never waits for another's
-- decision: who is just becoming or renewing it counts as there.
CREATE OR REPLACE FUNCTION become_publisher(sidecar_name text, new_token uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    publisher publishers;
    now timestamptz;
BEGIN
    -- Held until the commit: while anybody has it, no publisher lets go. What follows must be a statement of its own, so
    -- that it sees a publisher that let go just before.
    PERFORM pg_advisory_xact_lock_shared(sidecar_lock(sidecar_name));
    now := clock_timestamp();
    SELECT * INTO publisher FROM publishers WHERE sidecar = sidecar_name;
    IF NOT FOUND THEN
        INSERT INTO publishers (sidecar, token, held_until, relief_at)
        VALUES (sidecar_name, new_token, now + publisher_lease(), now + publisher_stint())
        ON CONFLICT DO NOTHING;
        RETURN FOUND;
    END IF;
    IF publisher.retry_at > now OR publisher.held_until > now AND publisher.relief_at > now THEN
        RETURN false;
    END IF;
    UPDATE publishers SET token = new_token, held_until = now + publisher_lease(), relief_at = now + publisher_stint()
    WHERE sidecar = (
        SELECT sidecar FROM publishers
        WHERE sidecar = sidecar_name
            AND coalesce(retry_at <= now, true)
            AND coalesce(held_until <= now OR relief_at <= now, true)
        FOR UPDATE SKIP LOCKED
    );
    RETURN FOUND;
END $$;

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
    ON CONFLICT ON CONSTRAINT lanes_pkey DO UPDATE SET
        head = l.head + 1,
        tasks = CASE
            WHEN l.tasks IS NULL THEN count_tasks(append_event.user_id)
            WHEN append_event.type = 'task.created' THEN l.tasks + 1
            WHEN append_event.type = 'task.deleted' THEN l.tasks - 1
            ELSE l.tasks
        END
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

-- Settles what became of the events that the caller sent: [{"user_id", "sequence", "outcome"}], at most one of a lane.
-- An outcome is `published`, `failed` (the lane rests), `rejected` (it rests for long) or `unsent` (anybody may take it).
CREATE OR REPLACE FUNCTION settle_turns(own_token uuid, results jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now timestamptz;
    moved bigint;
BEGIN
    IF jsonb_array_length(results) > 1 THEN
        PERFORM FROM lanes
        WHERE user_id IN (SELECT result ->> 'user_id' FROM jsonb_array_elements(results) AS result)
        ORDER BY user_id
        FOR NO KEY UPDATE;
    END IF;
    now := clock_timestamp();
    -- What is at the broker is at the broker, whoever holds the lane by now: the lane's position decides, not the lease.
    WITH arrived AS (
        UPDATE lanes AS lane SET published = result.sequence
        FROM jsonb_to_recordset(results) AS result (user_id text, sequence bigint, outcome text)
        WHERE lane.user_id = result.user_id AND lane.published = result.sequence - 1 AND result.outcome = 'published'
        RETURNING lane.user_id, lane.published, lane.head
    ), known AS (
        SELECT arrived.*, event.type, event.time
        FROM arrived
        JOIN publish_queue AS turn ON turn.user_id = arrived.user_id
        CROSS JOIN LATERAL (
            SELECT type, time FROM events
            WHERE user_id = arrived.user_id AND sequence = arrived.published AND time >= turn.since
            LIMIT 1
        ) AS event
    ), counted AS (
        INSERT INTO analytics_daily AS daily (user_id, day, type, count)
        SELECT user_id, (time AT TIME ZONE 'UTC')::date, type, 1 FROM known
        ON CONFLICT (user_id, day, type) DO UPDATE SET count = daily.count + 1
    ), finished AS (
        DELETE FROM publish_queue AS turn USING arrived
        WHERE turn.user_id = arrived.user_id AND arrived.published = arrived.head
    ), continued AS (
        UPDATE publish_queue AS turn
        SET turn_at = now, since = known.time, holder = NULL, held_until = NULL, attempts = 0, blocked = false
        FROM known
        WHERE turn.user_id = known.user_id AND known.published < known.head
    )
    SELECT count(*) INTO moved FROM arrived;
    IF moved < jsonb_array_length(results) THEN
        -- The rest of what the caller holds: not published, or published by somebody else before.
        UPDATE publish_queue AS turn SET
            holder = NULL,
            held_until = NULL,
            turn_at = CASE result.outcome
                WHEN 'failed' THEN now + rest_after(turn.attempts)
                WHEN 'rejected' THEN now + blocked_rest()
                ELSE turn.turn_at
            END,
            attempts = turn.attempts + CASE WHEN result.outcome IN ('failed', 'rejected') THEN 1 ELSE 0 END,
            blocked = turn.blocked OR result.outcome = 'rejected'
        FROM jsonb_to_recordset(results) AS result (user_id text, sequence bigint, outcome text)
        WHERE turn.user_id = result.user_id AND turn.holder = own_token;
    END IF;
END $$;

-- Takes at most so many lanes whose turn has come, the longest waiting first, and tells the next event of each. A lane
-- whose next event is missing rests for long.
CREATE OR REPLACE FUNCTION take_turns(own_token uuid, most integer, queue_from timestamptz, OUT next_events text, OUT missing text[]) LANGUAGE plpgsql AS $$
DECLARE
    now timestamptz := clock_timestamp();
    taken text[];
BEGIN
    WITH due AS MATERIALIZED (
        SELECT user_id FROM publish_queue
        WHERE turn_at >= queue_from AND turn_at <= now AND coalesce(held_until <= now, true)
        ORDER BY turn_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ), held AS (
        UPDATE publish_queue AS turn SET holder = own_token, held_until = now + lane_lease()
        FROM due
        WHERE turn.user_id = due.user_id
        RETURNING turn.user_id
    )
    SELECT array_agg(user_id) INTO taken FROM held;
    IF taken IS NULL THEN
        RETURN;
    END IF;
    -- A statement of its own: it sees what the last holder of a lane acknowledged before the lane was taken.
    SELECT
        '[' || string_agg(next.event, ',') || ']',
        array_agg(lane.user_id) FILTER (WHERE next.event IS NULL)
    INTO next_events, missing
    FROM unnest(taken) AS user_id
    JOIN lanes AS lane USING (user_id)
    JOIN publish_queue AS turn USING (user_id)
    -- With a limit it is asked once for each lane, and opens one partition.
    LEFT JOIN LATERAL (
        SELECT outbound_event_text(event) AS event FROM events AS event
        WHERE event.user_id = lane.user_id AND event.sequence = lane.published + 1 AND event.time >= turn.since
        LIMIT 1
    ) AS next ON true;
    IF missing IS NOT NULL THEN
        -- Where the clock was set back, an event can be older than the one before it: looked for again, everywhere.
        WITH rested AS (
            UPDATE publish_queue SET
                holder = NULL,
                held_until = NULL,
                since = '-infinity',
                blocked = since = '-infinity',
                turn_at = CASE WHEN since > '-infinity' THEN now ELSE now + blocked_rest() END
            WHERE user_id = ANY (missing)
            RETURNING user_id, turn_at
        )
        SELECT array_agg(user_id) FILTER (WHERE turn_at > now) INTO missing FROM rested;
    END IF;
END $$;

-- A publisher's turn: settles what it sent and takes what is next. Tells whether the caller is the publisher still, the
-- events to send, and users whose next event is missing. A publisher without events asks again after some milliseconds:
-- somebody is about to commit. With `most` 0 it lets go at once, whatever is left. After a failure it sends one event, the
-- probe.
-- Rows are looked up by key, whatever the planner believes of tables that fill and empty within seconds; and planning anew
-- would read deleted rows too, to find the ends of the index.
CREATE OR REPLACE FUNCTION publish_turn(sidecar_name text, own_token uuid, results jsonb, most integer) RETURNS json LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    now timestamptz;
    has_published boolean := results @> '[{"outcome": "published"}]';
    publisher publishers;
    oldest timestamptz;
    next_events text;
    missing text[];
BEGIN
    -- A crash of the database may forget a turn: its events are published again, and nobody waits for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    IF results <> '[]' THEN
        PERFORM settle_turns(own_token, results);
    END IF;
    now := clock_timestamp();
    SELECT * INTO publisher FROM publishers WHERE sidecar = sidecar_name AND token = own_token;
    IF NOT FOUND THEN
        RETURN '{"publisher": false, "events": []}';
    END IF;
    oldest := (SELECT min(turn_at) FROM publish_queue WHERE turn_at >= publisher.queue_from);
    publisher.queue_from := greatest(publisher.queue_from, least(oldest, now - late_commit()));
    -- Seldom, since every write reads the row.
    IF publisher.failures > 0 AND has_published OR publisher.held_until < now + publisher_lease() * 0.8 THEN
        UPDATE publishers SET
            held_until = now + publisher_lease(),
            queue_from = publisher.queue_from,
            failures = CASE WHEN has_published THEN 0 ELSE failures END,
            retry_at = CASE WHEN has_published THEN NULL ELSE retry_at END
        WHERE sidecar = sidecar_name AND token = own_token;
        IF NOT FOUND THEN
            RETURN '{"publisher": false, "events": []}';
        END IF;
    END IF;
    IF most > 0 THEN
        IF oldest <= now THEN
            SELECT * INTO next_events, missing
            FROM take_turns(
                own_token, CASE WHEN publisher.failures > 0 AND NOT has_published THEN 1 ELSE most END, oldest
            );
        END IF;
        -- Without the lock somebody is between asking for the publisher and committing. With it nobody is, and who asks
        -- next waits for this commit, so the look below misses nothing. Its time must be read after the lock is had.
        IF next_events IS NOT NULL OR missing IS NOT NULL OR NOT pg_try_advisory_xact_lock(sidecar_lock(sidecar_name)) THEN
            RETURN json_build_object(
                'publisher', true, 'events', coalesce(next_events, '[]')::json, 'missing', missing
            );
        END IF;
        now := clock_timestamp();
        IF EXISTS (
            SELECT FROM publish_queue
            WHERE turn_at >= publisher.queue_from AND turn_at <= now AND coalesce(held_until <= now, true)
        ) THEN
            RETURN '{"publisher": true, "events": []}';
        END IF;
    END IF;
    UPDATE publishers SET token = NULL, held_until = NULL, relief_at = NULL, queue_from = publisher.queue_from
    WHERE sidecar = sidecar_name AND token = own_token;
    RETURN '{"publisher": false, "events": []}';
END $$;

-- The sidecar cannot be reached, does not answer or fails a whole batch: the publisher lets go, nobody publishes through
-- the sidecar for 1 s, 2 s … 30 s, and its lanes are free for others.
CREATE OR REPLACE FUNCTION publishing_failed(sidecar_name text, own_token uuid, results jsonb) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM settle_turns(own_token, results);
    UPDATE publishers SET
        token = NULL,
        held_until = NULL,
        relief_at = NULL,
        failures = failures + 1,
        retry_at = clock_timestamp()
            + least(30, 2 ^ least(failures, 5)) * (0.75 + random() / 4) * interval '1 second'
    WHERE sidecar = sidecar_name AND token = own_token;
    RETURN 'null';
END $$;

-- Once a minute for each sidecar: whether it is due. Lets the search begin at the front again, for a commit that came very
-- late, and forgets sidecars that have not asked for an hour.
CREATE OR REPLACE FUNCTION tend_publishers(sidecar text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    is_due boolean;
BEGIN
    UPDATE publishers AS own SET queue_from = '-infinity', tended_at = clock_timestamp()
    WHERE own.sidecar = tend_publishers.sidecar AND own.tended_at <= clock_timestamp() - interval '1 minute';
    is_due := FOUND;
    IF is_due THEN
        DELETE FROM publishers AS gone
        WHERE gone.sidecar = ANY (ARRAY(
            SELECT old.sidecar FROM publishers AS old
            WHERE old.tended_at < clock_timestamp() - interval '1 hour'
                AND coalesce(old.held_until < clock_timestamp(), true)
            FOR UPDATE SKIP LOCKED
        ));
        DELETE FROM jobs_breakers AS gone WHERE gone.retry_at < clock_timestamp() - interval '1 day';
    END IF;
    RETURN to_jsonb(is_due);
END $$;
