-- The event path, rebuilt: events and claims by partitions of time, lanes in a queue, one publisher for each sidecar, and
-- one function for each statement that changes something. What follows the tables is the text of `functions/`.

SET lock_timeout = '2s';
SET statement_timeout = 0;

-- What depends on the tables as they were.
DROP VIEW service_gauges;
DROP VIEW breaker_gauges;
DROP FUNCTION acknowledge_lane(text, uuid, bigint, bigint, boolean, boolean, bigint);
DROP FUNCTION take_lane(text, uuid, bigint);
DROP FUNCTION lane_to_publish(lanes, uuid, bigint);
DROP FUNCTION append_event(uuid, text, text, uuid, text, text, uuid, text, text, jsonb);
DROP FUNCTION lease_length();
DROP FUNCTION outbound_event(events);
DROP FUNCTION cloud_event(events);

-- Append-only: outbox, event store for replay, and source of analytics in one. A lane's look-up of its next event is
-- bounded by `publish_queue.since` to one partition.
ALTER TABLE events RENAME TO unpartitioned_events;
ALTER INDEX events_pkey RENAME TO unpartitioned_events_pkey;
ALTER TABLE unpartitioned_events DROP CONSTRAINT events_id_key;
DROP INDEX events_by_time;

CREATE TABLE events (
    user_id      text NOT NULL,
    sequence     bigint NOT NULL,
    time         timestamptz NOT NULL,
    id           uuid NOT NULL,
    type         text NOT NULL,
    topic        text NOT NULL CHECK (topic IN ('tasks', 'reminders')),
    task_id      uuid NOT NULL,
    -- The event that caused this one.
    causation_id uuid,
    traceparent  text,
    data         jsonb NOT NULL,
    PRIMARY KEY (user_id, sequence, time)
) PARTITION BY RANGE (time);

CREATE INDEX events_by_id ON events (id);
CREATE INDEX events_by_time ON events (time);

-- So that an insert never fails.
CREATE TABLE events_default PARTITION OF events DEFAULT;

INSERT INTO events (user_id, sequence, time, id, type, topic, task_id, traceparent, data)
SELECT user_id, sequence, time, id, type, topic, task_id, traceparent, data FROM unpartitioned_events;
DROP TABLE unpartitioned_events;

-- Which handler has dealt with which event; ids of events are UUIDv7, others come into the default partition.
ALTER TABLE processed_events RENAME TO unpartitioned_claims;
ALTER INDEX processed_events_pkey RENAME TO unpartitioned_claims_pkey;
DROP INDEX processed_events_by_time;

CREATE TABLE processed_events (
    handler      text NOT NULL,
    event_id     uuid NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (handler, event_id)
) PARTITION BY RANGE (event_id);

CREATE INDEX processed_events_by_time ON processed_events (processed_at);

CREATE TABLE processed_events_default PARTITION OF processed_events DEFAULT;

INSERT INTO processed_events (handler, event_id, processed_at)
SELECT handler, event_id, processed_at FROM unpartitioned_claims;
DROP TABLE unpartitioned_claims;

-- A user's lane numbers the user's events in commit order; up to `published` all are at the broker. No index touches what
-- changes, so that updates are HOT.
DROP INDEX lanes_behind;
ALTER TABLE lanes DROP COLUMN lease_token, DROP COLUMN leased_until, DROP COLUMN blocked_until;
ALTER TABLE lanes SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- A row exactly while its lane has something unpublished. Changed only under the lane's lock, except for taking a turn,
-- which skips what is locked.
CREATE TABLE publish_queue (
    user_id    text PRIMARY KEY,
    -- Since when the lane waits, or until when it rests.
    turn_at    timestamptz NOT NULL,
    -- The lane's next event is not older than this.
    since      timestamptz NOT NULL,
    -- Who is publishing the lane's next event. Not indexed: taking a lane is a HOT update.
    holder     uuid,
    held_until timestamptz,
    attempts   integer NOT NULL DEFAULT 0,
    -- The next event was refused for good, or is missing: somebody has to look.
    blocked    boolean NOT NULL DEFAULT false,
    CHECK ((holder IS NULL) = (held_until IS NULL))
) WITH (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX publish_queue_by_turn ON publish_queue (turn_at);

INSERT INTO publish_queue (user_id, turn_at, since)
SELECT user_id, clock_timestamp(), '-infinity' FROM lanes WHERE published < head;

-- At most one publisher for each sidecar, and the sidecar's breaker.
CREATE TABLE publishers (
    sidecar    text PRIMARY KEY,
    token      uuid,
    -- Until when the publisher is believed to be alive.
    held_until timestamptz,
    -- From when on the next write takes over from it, so that no instance publishes for ever.
    relief_at  timestamptz,
    failures   integer NOT NULL DEFAULT 0,
    retry_at   timestamptz,
    -- No lane in the queue has an earlier turn: where to begin the search. Without it every turn would read all rows that
    -- were deleted since the oldest snapshot that is still open (a dump, an index being built).
    queue_from timestamptz NOT NULL DEFAULT '-infinity',
    -- When the relay of the sidecar looked after the row.
    tended_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((token IS NULL) = (held_until IS NULL) AND (token IS NULL) = (relief_at IS NULL))
) WITH (
    -- One row, changed often: short chains of versions, pruned early.
    fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- While failures are counted, the breaker of the Jobs API is open: nobody but the relay calls it.
DROP TABLE publish_breaker;

CREATE TABLE jobs_breakers (
    sidecar  text PRIMARY KEY,
    failures integer NOT NULL,
    retry_at timestamptz NOT NULL
);

ALTER TABLE reminders DROP COLUMN last_outcome;
-- Set where the sweep could not deal with the reminder.
ALTER TABLE reminders ADD COLUMN rests_until timestamptz;
DROP INDEX reminders_unset_alarms;
CREATE INDEX reminders_unset_alarms ON reminders (alarm_wanted) WHERE alarm_wanted IS DISTINCT FROM alarm_set;
CREATE INDEX reminders_idle_alarms ON reminders (updated_at)
    WHERE alarm_set IS NOT NULL AND alarm_wanted IS DISTINCT FROM alarm_set;

-- Positions are used again where a topic is made anew, so a row is for a position and a payload.
ALTER TABLE dead_letters ADD COLUMN payload_hash bytea NOT NULL GENERATED ALWAYS AS (sha256(payload)) STORED;
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_topic_kafka_partition_kafka_offset_key;
ALTER TABLE dead_letters ADD CONSTRAINT dead_letters_position_key
    UNIQUE (topic, kafka_partition, kafka_offset, payload_hash);
CREATE INDEX dead_letters_by_event ON dead_letters (event_id);

-- The forms that leave the database: instants as RFC 3339 in UTC, tasks and notifications as the REST API shows them,
-- events as CloudEvents 1.0 in structured JSON.

CREATE OR REPLACE FUNCTION rfc3339(instant timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

CREATE OR REPLACE FUNCTION task_json(task tasks) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'id', task.id,
        'user_id', task.user_id,
        'title', task.title,
        'description', task.description,
        'completed', task.completed,
        'completed_at', rfc3339(task.completed_at),
        'priority', task.priority,
        'tags', to_jsonb(task.tags),
        'due_date', rfc3339(task.due_date),
        'timezone', task.timezone,
        'is_recurring', task.is_recurring,
        'recurring_interval', task.recurring_interval,
        'series_id', task.series_id,
        'occurrence', task.occurrence,
        'anchor_day', task.anchor_day,
        'version', task.version,
        'created_at', rfc3339(task.created_at),
        'updated_at', rfc3339(task.updated_at)
    );

-- A task as the data of its events name it: `id` is `task_id` there.
CREATE OR REPLACE FUNCTION task_data(task tasks) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN task_json(task) - 'id' || jsonb_build_object('task_id', task.id);

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

-- One source for each lane, so that `sequence` is what CloudEvents' extension says. Of the characters of a user id only
-- two must be percent-encoded.
CREATE OR REPLACE FUNCTION event_source(user_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '/todo/users/' || replace(replace(user_id, '@', '%40'), '|', '%7C');

-- An event says itself which request it goes back to. As a header alone it would not: a batch has one header, and with
-- telemetry on Spin writes the trace of the instance that publishes over it. Dapr keeps both attributes where they are
-- given, and makes the delivery part of that trace.
CREATE OR REPLACE FUNCTION cloud_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'specversion', '1.0',
        'id', event.id,
        'source', event_source(event.user_id),
        'type', event.type,
        'subject', event.task_id,
        'time', rfc3339(event.time),
        'datacontenttype', 'application/json',
        'dataschema', 'urn:todo-events:schema:' || event.type || ':1',
        'partitionkey', event.user_id,
        'sequence', lpad(event.sequence::text, 20, '0'),
        'data', event.data
    ) || CASE
        WHEN event.causation_id IS NULL THEN '{}'::jsonb
        ELSE jsonb_build_object('causationid', event.causation_id)
    END;

-- What a publisher needs to know of an event.
CREATE OR REPLACE FUNCTION outbound_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'user_id', event.user_id,
        'sequence', event.sequence,
        'topic', event.topic,
        'event', cloud_event(event) || CASE
            WHEN event.traceparent IS NULL THEN '{}'::jsonb
            ELSE jsonb_build_object('traceparent', event.traceparent, 'traceid', event.traceparent)
        END
    );

-- The outbox: lanes number a user's events, a queue says which lanes wait for publishing, and each sidecar has at most
-- one publisher. Needs READ COMMITTED: each statement of a function must see what was committed before it began.
--
-- Locks, in this order everywhere: tasks, reminders, lanes by user id, the advisory lock of a sidecar, its row of
-- publishers. Rows of the queue change under their lane's lock, so nobody waits for them. Who has a sidecar's lock or row
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
        JOIN events AS event ON event.user_id = arrived.user_id
            AND event.sequence = arrived.published
            AND event.time >= turn.since
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
CREATE OR REPLACE FUNCTION take_turns(own_token uuid, most integer, queue_from timestamptz, OUT next_events jsonb, OUT missing text[]) LANGUAGE plpgsql AS $$
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
    next_events := '[]';
    IF taken IS NULL THEN
        RETURN;
    END IF;
    -- A statement of its own: it sees what the last holder of a lane acknowledged before the lane was taken.
    SELECT
        coalesce(jsonb_agg(outbound_event(event)) FILTER (WHERE event.user_id IS NOT NULL), '[]'),
        array_agg(lane.user_id) FILTER (WHERE event.user_id IS NULL)
    INTO next_events, missing
    FROM unnest(taken) AS user_id
    JOIN lanes AS lane USING (user_id)
    JOIN publish_queue AS turn USING (user_id)
    LEFT JOIN events AS event ON event.user_id = lane.user_id
        AND event.sequence = lane.published + 1
        AND event.time >= turn.since;
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
CREATE OR REPLACE FUNCTION publish_turn(sidecar_name text, own_token uuid, results jsonb, most integer) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    now timestamptz;
    has_published boolean := results @> '[{"outcome": "published"}]';
    publisher publishers;
    oldest timestamptz;
    next_events jsonb := '[]';
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
        IF next_events <> '[]' OR NOT pg_try_advisory_xact_lock(sidecar_lock(sidecar_name)) THEN
            RETURN jsonb_build_object('publisher', true, 'events', next_events, 'missing', missing);
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

-- The breaker of the Jobs API of a sidecar, of the same kind as the publisher's. No row is a closed one.

-- A call failed: nobody calls for 1 s. One that is open already stays as it is: calls that were under way when it opened
-- say nothing new, unless the call was the probe.
CREATE OR REPLACE FUNCTION jobs_failed(sidecar text, probe boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_breakers AS breaker (sidecar, failures, retry_at)
    VALUES (jobs_failed.sidecar, 1, clock_timestamp() + interval '1 second')
    ON CONFLICT ON CONSTRAINT jobs_breakers_pkey DO UPDATE SET
        failures = breaker.failures + 1,
        retry_at = clock_timestamp() + least(30, 2 ^ least(breaker.failures, 5)) * interval '1 second'
    WHERE jobs_failed.probe OR breaker.failures = 0;
    RETURN 'null';
END $$;

CREATE OR REPLACE FUNCTION jobs_reached(sidecar text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs_breakers AS breaker SET failures = 0 WHERE breaker.sidecar = jobs_reached.sidecar AND failures > 0;
    RETURN 'null';
END $$;

-- Whether the relay may call now: `call`, `probe` (one call, whose outcome decides; given to one caller at a time) or
-- `wait`.
CREATE OR REPLACE FUNCTION may_call_jobs(sidecar text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs_breakers AS breaker SET retry_at = clock_timestamp() + interval '10 seconds'
    WHERE breaker.sidecar = may_call_jobs.sidecar AND failures > 0 AND retry_at <= clock_timestamp();
    IF FOUND THEN
        RETURN '"probe"';
    END IF;
    RETURN to_jsonb(CASE WHEN jobs_reachable(may_call_jobs.sidecar) THEN 'call' ELSE 'wait' END);
END $$;

-- Whether the breaker is closed.
CREATE OR REPLACE FUNCTION jobs_reachable(sidecar text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM jobs_breakers AS breaker WHERE breaker.sidecar = jobs_reachable.sidecar AND failures > 0
    );
END $$;

-- What handlers share: claims, dead letters, and the watch over deliveries.

-- Claims an event for a handler: whether it is the first time.
CREATE OR REPLACE FUNCTION claim_event(handler text, event_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO processed_events (handler, event_id) VALUES (claim_event.handler, claim_event.event_id)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

-- Stores a record that no handler could deal with: one row for each position in the topic that it came from and each
-- payload (positions are used again where a topic is made anew). A letter that comes after its row was resolved opens it
-- again. Tells whether somebody has to look.
CREATE OR REPLACE FUNCTION record_dead_letter(
    letter_id uuid, topic text, kafka_partition integer, kafka_offset bigint, payload bytea, event_id text,
    event_type text, user_id text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    letter dead_letters;
    was dead_letters;
BEGIN
    INSERT INTO dead_letters AS stored
        (id, topic, kafka_partition, kafka_offset, payload, event_id, event_type, user_id)
    VALUES (
        letter_id, record_dead_letter.topic, record_dead_letter.kafka_partition, record_dead_letter.kafka_offset,
        record_dead_letter.payload, record_dead_letter.event_id, record_dead_letter.event_type,
        record_dead_letter.user_id
    )
    ON CONFLICT ON CONSTRAINT dead_letters_position_key DO NOTHING
    RETURNING * INTO letter;
    IF NOT FOUND THEN
        SELECT * INTO was FROM dead_letters AS stored
        WHERE stored.topic = record_dead_letter.topic
            AND stored.kafka_partition = record_dead_letter.kafka_partition
            AND stored.kafka_offset = record_dead_letter.kafka_offset
            AND stored.payload_hash = sha256(record_dead_letter.payload)
        FOR UPDATE;
        UPDATE dead_letters AS stored SET
            deliveries = stored.deliveries + 1, last_received_at = clock_timestamp(), status = 'open',
            resolved_at = NULL
        WHERE stored.id = was.id
        RETURNING * INTO letter;
    END IF;
    RETURN jsonb_build_object(
        'id', letter.id, 'deliveries', letter.deliveries, 'alert', was.id IS NULL OR was.status <> 'open'
    );
END $$;

-- Looks at a stream, the events of one topic that one handler claims: true if deliveries are to pause, so that the
-- sidecar subscribes anew. That is when the handler has claimed nothing of any kind for 10 s, while the same event has
-- been missing for 10 s. An event counts as missing 15 s after it was committed, if it is published and neither claimed
-- nor a dead letter; for 2 minutes, and among the latest 200 events, which bounds what is looked at. Deliveries pause for
-- 3 s, longer than the sidecar takes to notice, and again after 20 s at the earliest.
-- What a stream holds is what the subscription's rules let through (`components/task-api/src/subscriptions.rs`).
CREATE OR REPLACE FUNCTION watch_deliveries(stream text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    watching text := CASE watch_deliveries.stream WHEN 'recurrence' THEN 'recurrence' ELSE 'reminder' END;
    missing uuid;
    pauses boolean;
BEGIN
    IF EXISTS (
        SELECT FROM processed_events AS lately
        WHERE lately.processed_at > statement_timestamp() - interval '10 seconds' AND lately.handler = watching
    ) THEN
        RETURN 'false';
    END IF;
    SELECT event.id INTO missing
    FROM (
        SELECT * FROM events AS latest
        WHERE latest.time > statement_timestamp() - interval '2 minutes'
            AND latest.time < statement_timestamp() - interval '15 seconds'
        ORDER BY latest.time DESC
        LIMIT 200
    ) AS event
    WHERE is_delivered(watch_deliveries.stream, event.type, event.data)
        AND event.sequence <= (SELECT published FROM lanes WHERE lanes.user_id = event.user_id)
        AND NOT EXISTS (
            SELECT FROM processed_events AS claim WHERE claim.handler = watching AND claim.event_id = event.id
        )
        AND NOT EXISTS (SELECT FROM dead_letters AS letter WHERE letter.event_id = event.id::text)
    ORDER BY event.time
    LIMIT 1;
    IF missing IS NULL THEN
        RETURN 'false';
    END IF;
    INSERT INTO delivery_watch AS watch (stream, event_id, since)
    VALUES (watch_deliveries.stream, missing, clock_timestamp())
    ON CONFLICT ON CONSTRAINT delivery_watch_pkey DO UPDATE SET
        event_id = excluded.event_id,
        since = CASE WHEN watch.event_id = excluded.event_id THEN watch.since ELSE excluded.since END,
        pause_until = CASE
            WHEN watch.event_id = excluded.event_id
                AND watch.since < clock_timestamp() - interval '10 seconds'
                AND coalesce(watch.pause_until < clock_timestamp() - interval '20 seconds', true)
            THEN clock_timestamp() + interval '3 seconds'
            ELSE watch.pause_until
        END
    RETURNING coalesce(watch.pause_until > clock_timestamp() + interval '2 seconds', false) INTO pauses;
    RETURN to_jsonb(pauses);
END $$;

-- Whether the subscriptions deliver an event to the handler of a stream, and the handler claims it.
CREATE OR REPLACE FUNCTION is_delivered(stream text, type text, data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE stream
        WHEN 'recurrence' THEN type = 'task.completed' AND data -> 'is_recurring' = 'true'
        WHEN 'notification' THEN type = 'reminder.triggered'
        WHEN 'reminder' THEN CASE type
            WHEN 'task.created' THEN data ->> 'due_date' IS NOT NULL
            WHEN 'task.updated' THEN data -> 'changed_fields' ?| ARRAY['due_date', 'completed']
            ELSE type IN ('task.completed', 'task.deleted')
        END
    END;

-- Changes of tasks: one function for each operation of the API. Each locks the task, decides, changes it and appends the
-- event; what it returns is what the API answers from: {"outcome", "task", "emitted"}.

-- The answer of a change: what became of it, the task as it is now, and the event.
CREATE OR REPLACE FUNCTION answer(outcome text, task tasks DEFAULT NULL, emitted jsonb DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN jsonb_build_object(
        'outcome', outcome, 'task', CASE WHEN (task).id IS NOT NULL THEN task_json(task) END, 'emitted', emitted
    );

-- A key that is taken gives the first answer again, for a day, if the request is the same. The task as it was created is
-- in its event.
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

-- The anchor day is set with the due date: where the date or the zone changes it is `new_anchor_day`, which was computed
-- for the date `dated` in the zone `zoned`; if those are not what the patch leads to, the outcome is `date_moved`. Else it
-- stays, so that the 28 February of a series that aims at the 31st keeps aiming there.
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

-- Leaves no task to show.
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

-- Creates the task that follows a completed one in its series, unless the event was handled before, the completed task is
-- gone, or it has its successor. The completed task is locked, so that it cannot be deleted meanwhile. The successor's
-- natural key outlives both tasks: neither reopening nor deleting makes a second one.
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

-- Reminders and notifications. The row in `reminders` is the truth; the Dapr job `reminder-{task_id}` is only its alarm
-- clock. The row holds when the clock should ring and what it was last set to, so that whatever a crash interrupts is
-- finished later.

-- How long before it rings an alarm is set: a scheduler need not keep the alarms of months.
CREATE OR REPLACE FUNCTION alarm_horizon() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN interval '1 hour';

-- What the clock of a reminder is to be set to now, what it was last set to, and whether the breaker lets handlers call
-- the Jobs API.
CREATE OR REPLACE FUNCTION alarm_json(reminder reminders, sidecar text) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN jsonb_build_object(
        'task_id', reminder.task_id,
        'wanted', rfc3339(CASE
            WHEN reminder.alarm_wanted <= statement_timestamp() + alarm_horizon() THEN reminder.alarm_wanted
        END),
        'set', rfc3339(reminder.alarm_set),
        'may_call', jobs_reachable(sidecar)
    );

-- Brings a task's reminder to what an event of the task wants: the moment, or the reason why there is none.
--
-- A redelivery changes nothing but still tells the alarm, in case a crash came before it was set. Where the task has a
-- row, its number tells an event that is older than the last one applied. A task that never wanted a reminder has no row:
-- there an event that wants one is believed only while the task is as the event says. If it is not, a later event changed
-- it, and was handled, or will be.
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

-- Lets the row decide what an alarm that rang means: it triggers a reminder that is still scheduled and due (up to 5 s
-- early counts), of a task that is open and due as the row says; one that rang earlier is to be set again; any other means
-- nothing. Where the task is not as the row says, its event is on its way.
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

-- Makes a notification of a triggered reminder: one for each moment of a task, however often it is said to have come. The
-- row is believed, not the event: whose task it is, whether it was triggered, for which moment, and when it is due.
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

CREATE OR REPLACE FUNCTION read_notification(user_id text, notification_id uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    notification notifications;
BEGIN
    UPDATE notifications AS unread SET read_at = coalesce(unread.read_at, now())
    WHERE unread.id = notification_id AND unread.user_id = read_notification.user_id
    RETURNING * INTO notification;
    RETURN CASE WHEN FOUND THEN notification_json(notification) END;
END $$;

CREATE OR REPLACE FUNCTION read_notifications(user_id text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    marked bigint;
BEGIN
    UPDATE notifications AS unread SET read_at = now()
    WHERE unread.user_id = read_notifications.user_id AND unread.read_at IS NULL;
    GET DIAGNOSTICS marked = ROW_COUNT;
    RETURN jsonb_build_object('marked', marked);
END $$;

-- Records what the clock of a reminder was set to, unless something else is wanted by now: another moment that is near, or
-- none.
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

-- Lets a reminder rest that the sweep could not deal with, so that it does not hold up the others.
CREATE OR REPLACE FUNCTION rest_reminder(task_id uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reminders AS r SET rests_until = clock_timestamp() + interval '5 minutes'
    WHERE r.task_id = rest_reminder.task_id;
    RETURN 'null';
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

-- Alarms that are not set as wanted: those that ring soon, and those of reminders that were moved or cancelled. Handlers
-- had the time to do it themselves.
CREATE OR REPLACE FUNCTION unset_alarms(sidecar text, most integer) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(alarm_json(unset.reminder, unset_alarms.sidecar)), '[]')
        FROM (
            (
                SELECT reminder FROM reminders AS reminder
                WHERE reminder.alarm_wanted IS DISTINCT FROM reminder.alarm_set
                    AND reminder.alarm_wanted <= statement_timestamp() + alarm_horizon()
                    AND reminder.updated_at <= statement_timestamp() - interval '10 seconds'
                    AND coalesce(reminder.rests_until <= statement_timestamp(), true)
                ORDER BY reminder.alarm_wanted
                LIMIT most
            )
            UNION ALL
            (
                SELECT reminder FROM reminders AS reminder
                WHERE reminder.alarm_set IS NOT NULL
                    AND reminder.alarm_wanted IS DISTINCT FROM reminder.alarm_set
                    AND coalesce(reminder.alarm_wanted > statement_timestamp() + alarm_horizon(), true)
                    AND reminder.updated_at <= statement_timestamp() - interval '10 seconds'
                    AND coalesce(reminder.rests_until <= statement_timestamp(), true)
                ORDER BY reminder.updated_at
                LIMIT most
            )
        ) AS unset
    );
END $$;

-- Growth and its end: partitions by time, made ahead and dropped when they have expired, and rows that are deleted.

-- A UUIDv7 of an instant with nothing but zeros behind it: the first one of its millisecond.
CREATE OR REPLACE FUNCTION first_uuid(instant timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (lpad(to_hex(floor(extract(epoch FROM instant) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid;

-- Makes the partition of a table for the week of an instant, if it is not there. What the default partition took of it
-- moves over. `by` says what the table is partitioned by: `time` or `uuid`.
CREATE OR REPLACE FUNCTION ensure_partition(parent text, by text, instant timestamptz) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    week timestamptz := date_trunc('week', instant, 'UTC');
    partition text := format('%s_%s', parent, to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD'));
    lower text;
    upper text;
    key text;
BEGIN
    IF to_regclass(quote_ident(partition)) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF by = 'uuid' THEN
        key := 'event_id';
        lower := first_uuid(week);
        upper := first_uuid(week + interval '7 days');
    ELSE
        key := 'time';
        lower := rfc3339(week);
        upper := rfc3339(week + interval '7 days');
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', partition, parent);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *) INSERT INTO %5$I SELECT * FROM moved',
        parent || '_default', key, lower, upper, partition
    );
    EXECUTE format(
        'ALTER TABLE %I SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_freeze_min_age = 0)', partition
    );
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition, lower, upper
    );
    RETURN true;
END $$;

-- Makes the partitions of this week and the next four; the number of those that were missing. Waits for no lock longer
-- than a moment, and for nobody who does the same.
CREATE OR REPLACE FUNCTION ensure_partitions() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    made integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('partitions', 0)) THEN
        RETURN '0';
    END IF;
    PERFORM set_config('lock_timeout', '500ms', true);
    SELECT count(*) FILTER (WHERE ensure_partition(parent, by, statement_timestamp() + week * interval '7 days')) INTO made
    FROM generate_series(0, 4) AS week, (VALUES ('events', 'time'), ('processed_events', 'uuid')) AS t (parent, by);
    RETURN to_jsonb(made);
END $$;

-- Drops one partition of events or of claims that has expired as a whole, if there is one; its name. Never events that are
-- not yet at the broker: a lane that waits tells how far back its events may lie.
CREATE OR REPLACE FUNCTION drop_expired_partition(events_seconds bigint, processed_ids_seconds bigint) RETURNS jsonb
    LANGUAGE plpgsql AS $$
DECLARE
    expired text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('partitions', 0)) THEN
        RETURN 'null';
    END IF;
    PERFORM set_config('lock_timeout', '500ms', true);
    SELECT part.relname INTO expired
    FROM
        pg_inherits AS tree
        JOIN pg_class AS part ON part.oid = tree.inhrelid
        JOIN pg_class AS parent ON parent.oid = tree.inhparent,
        LATERAL (
            SELECT to_date(substring(part.relname FROM '_(\d{8})$'), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC'
                + interval '7 days' AS ended
        ) AS week
    WHERE parent.oid IN ('events'::regclass, 'processed_events'::regclass)
        AND week.ended <= statement_timestamp() - interval '1 second' * CASE parent.relname
            WHEN 'events' THEN events_seconds
            ELSE processed_ids_seconds
        END
        AND (
            parent.relname <> 'events'
            OR coalesce(week.ended <= (SELECT min(since) FROM publish_queue), true)
        )
    ORDER BY week.ended
    LIMIT 1;
    IF expired IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', expired);
    END IF;
    RETURN coalesce(to_jsonb(expired), 'null');
END $$;

-- Deletes what has been kept long enough, at most so many rows of each kind; how many rows that were, and whether there may
-- be more. Events and claims are dropped with their partitions, but for what lies in the default ones.
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

SELECT ensure_partitions();

-- What monitoring reads. The views read the tables with their owner's rights, so that monitoring sees numbers and nothing
-- else. All is served by small tables and partial indexes. Tasks are looked up by key, one for each reminder that waits:
-- as a subquery, since a join whose other side is estimated wrong would read the whole table.

CREATE VIEW service_gauges AS
SELECT
    behind.events AS unpublished_events,
    coalesce(extract(epoch FROM now() - behind.oldest), 0)::float8 AS oldest_unpublished_seconds,
    behind.blocked AS blocked_lanes,
    overdue.reminders AS overdue_reminders,
    coalesce(extract(epoch FROM now() - overdue.oldest), 0)::float8 AS oldest_overdue_seconds,
    pending.letters AS open_dead_letters
FROM
    (
        SELECT
            coalesce(sum((SELECT lane.head - lane.published FROM lanes AS lane WHERE lane.user_id = turn.user_id)), 0)
                ::bigint AS events,
            min(CASE WHEN turn.since > '-infinity' THEN turn.since ELSE least(turn.turn_at, now()) END) AS oldest,
            count(*) FILTER (WHERE turn.blocked) AS blocked
        FROM publish_queue AS turn
    ) AS behind,
    -- As the sweep counts them: the reminder of a task that is not open any more is about to be cancelled.
    (
        SELECT count(*) AS reminders, min(reminder.remind_at) AS oldest
        FROM reminders AS reminder
        WHERE reminder.status = 'scheduled'
            AND reminder.remind_at <= now()
            AND (
                SELECT NOT task.completed AND task.due_date = reminder.due_date
                FROM tasks AS task
                WHERE task.id = reminder.task_id
            )
    ) AS overdue,
    (SELECT count(*) AS letters FROM dead_letters WHERE status = 'open') AS pending;

-- How many sidecars have an open breaker. The row of a pod that is gone stays open for a while, but is tried no more.
CREATE VIEW breaker_gauges AS
SELECT 'pubsub' AS dependency, count(*) AS open
FROM publishers
WHERE failures > 0 AND retry_at > now() - interval '10 minutes'
UNION ALL
SELECT 'jobs', count(*)
FROM jobs_breakers
WHERE failures > 0 AND retry_at > now() - interval '10 minutes';

GRANT SELECT ON service_gauges, breaker_gauges TO pg_monitor;
