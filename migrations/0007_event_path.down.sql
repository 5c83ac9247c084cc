SET lock_timeout = '2s';
SET statement_timeout = 0;

DROP VIEW breaker_gauges;
DROP VIEW service_gauges;
DROP FUNCTION expire_rows;
DROP FUNCTION drop_expired_partition;
DROP FUNCTION ensure_partitions;
DROP FUNCTION ensure_partition;
DROP FUNCTION first_uuid;
DROP FUNCTION unset_alarms;
DROP FUNCTION overdue_reminders;
DROP FUNCTION rest_reminder;
DROP FUNCTION record_alarm;
DROP FUNCTION read_notifications;
DROP FUNCTION read_notification;
DROP FUNCTION notify_user;
DROP FUNCTION ring_reminder;
DROP FUNCTION apply_reminder;
DROP FUNCTION alarm_json;
DROP FUNCTION alarm_horizon;
DROP FUNCTION create_successor;
DROP FUNCTION delete_task;
DROP FUNCTION reopen_task;
DROP FUNCTION complete_task;
DROP FUNCTION update_task;
DROP FUNCTION create_task;
DROP FUNCTION answer;
DROP FUNCTION is_delivered;
DROP FUNCTION watch_deliveries;
DROP FUNCTION record_dead_letter;
DROP FUNCTION claim_event;
DROP FUNCTION jobs_reachable;
DROP FUNCTION may_call_jobs;
DROP FUNCTION jobs_reached;
DROP FUNCTION jobs_failed;
DROP FUNCTION tend_publishers;
DROP FUNCTION publishing_failed;
DROP FUNCTION publish_turn;
DROP FUNCTION take_turns;
DROP FUNCTION settle_turns;
DROP FUNCTION append_event;
DROP FUNCTION become_publisher;
DROP FUNCTION sidecar_lock;
DROP FUNCTION rest_after;
DROP FUNCTION blocked_rest;
DROP FUNCTION publisher_stint;
DROP FUNCTION late_commit;
DROP FUNCTION publisher_lease;
DROP FUNCTION lane_lease;
DROP FUNCTION outbound_event;
DROP FUNCTION cloud_event;
DROP FUNCTION event_source;

DROP INDEX dead_letters_by_event;
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_position_key;
-- The first letter of each position stays.
DELETE FROM dead_letters AS letter USING dead_letters AS earlier
WHERE earlier.topic = letter.topic
    AND earlier.kafka_partition = letter.kafka_partition
    AND earlier.kafka_offset = letter.kafka_offset
    AND earlier.id < letter.id;
ALTER TABLE dead_letters ADD UNIQUE (topic, kafka_partition, kafka_offset);
ALTER TABLE dead_letters DROP COLUMN payload_hash;

DROP INDEX reminders_idle_alarms;
DROP INDEX reminders_unset_alarms;
CREATE INDEX reminders_unset_alarms ON reminders (updated_at) WHERE alarm_wanted IS DISTINCT FROM alarm_set;
ALTER TABLE reminders DROP COLUMN rests_until;
ALTER TABLE reminders ADD COLUMN last_outcome text NOT NULL DEFAULT 'none'
    CHECK (last_outcome IN ('scheduled', 'cancelled', 'none'));
ALTER TABLE reminders ALTER COLUMN last_outcome DROP DEFAULT;

DROP TABLE jobs_breakers;
CREATE TABLE publish_breaker (
    sidecar    text NOT NULL,
    dependency text NOT NULL CHECK (dependency IN ('pubsub', 'jobs')),
    failures   integer NOT NULL,
    probe_at   timestamptz NOT NULL,
    PRIMARY KEY (sidecar, dependency)
);

DROP TABLE publishers;
DROP TABLE publish_queue;
ALTER TABLE lanes RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_delay);
ALTER TABLE lanes
    ADD COLUMN lease_token uuid,
    ADD COLUMN leased_until timestamptz,
    ADD COLUMN blocked_until timestamptz,
    ADD CHECK ((lease_token IS NULL) = (leased_until IS NULL)) NOT VALID;
CREATE INDEX lanes_behind ON lanes (user_id) WHERE published < head;

ALTER TABLE processed_events RENAME TO partitioned_claims;
ALTER INDEX processed_events_pkey RENAME TO partitioned_claims_pkey;
CREATE TABLE processed_events (
    handler      text NOT NULL,
    event_id     uuid NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (handler, event_id)
);
INSERT INTO processed_events (handler, event_id, processed_at)
SELECT handler, event_id, processed_at FROM partitioned_claims;
DROP TABLE partitioned_claims;
CREATE INDEX processed_events_by_time ON processed_events (processed_at);

ALTER TABLE events RENAME TO partitioned_events;
ALTER INDEX events_pkey RENAME TO partitioned_events_pkey;
CREATE TABLE events (
    user_id     text NOT NULL,
    sequence    bigint NOT NULL,
    id          uuid NOT NULL UNIQUE,
    type        text NOT NULL,
    topic       text NOT NULL CHECK (topic IN ('tasks', 'reminders')),
    source      text NOT NULL,
    task_id     uuid NOT NULL,
    time        timestamptz NOT NULL,
    data        jsonb NOT NULL,
    traceparent text,
    PRIMARY KEY (user_id, sequence)
);
INSERT INTO events (user_id, sequence, id, type, topic, source, task_id, time, data, traceparent)
SELECT user_id, sequence, id, type, topic, '/todo/task-api', task_id, time, data, traceparent FROM partitioned_events;
DROP TABLE partitioned_events;
CREATE INDEX events_by_time ON events (time);

CREATE FUNCTION cloud_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'specversion', '1.0',
        'id', event.id,
        'source', event.source,
        'type', event.type,
        'subject', event.task_id,
        'time', rfc3339(event.time),
        'datacontenttype', 'application/json',
        'dataschema', 'urn:todo-events:schema:' || event.type || ':1',
        'partitionkey', event.user_id,
        'sequence', lpad(event.sequence::text, 20, '0'),
        'data', event.data
    );

CREATE FUNCTION outbound_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'user_id', event.user_id,
        'sequence', event.sequence,
        'topic', event.topic,
        'traceparent', event.traceparent,
        'event', cloud_event(event) || CASE
            WHEN event.traceparent IS NULL THEN '{}'::jsonb
            ELSE jsonb_build_object('traceparent', event.traceparent, 'traceid', event.traceparent)
        END
    );

-- For how long a lease is taken; `platform::outbox::LEASE` is the same.
CREATE FUNCTION lease_length() RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN interval '10 seconds';

-- Appends an event: takes the next number of the user's lane under the row's lock, and the lane's lease where it is free
-- and the breaker of the sidecar closed. Tells the event, up to which number the lane is published, and whether the lease
-- was taken.
CREATE FUNCTION append_event(
    new_id uuid, new_source text, new_traceparent text, new_lease uuid, sidecar_name text,
    new_user text, new_task uuid, new_type text, new_topic text, new_data jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    is_open boolean := EXISTS (
        SELECT FROM publish_breaker WHERE sidecar = sidecar_name AND dependency = 'pubsub' AND failures > 0
    );
    taken lanes;
    appended events;
    committed timestamptz;
BEGIN
    INSERT INTO lanes AS lane (user_id, head, lease_token, leased_until)
    VALUES (
        new_user,
        1,
        CASE WHEN NOT is_open THEN new_lease END,
        CASE WHEN NOT is_open THEN clock_timestamp() + lease_length() END
    )
    ON CONFLICT (user_id) DO UPDATE SET
        head = lane.head + 1,
        (lease_token, leased_until) = (
            SELECT
                CASE WHEN free THEN excluded.lease_token ELSE lane.lease_token END,
                CASE WHEN free THEN now + lease_length() ELSE lane.leased_until END
            FROM (
                SELECT
                    now,
                    excluded.lease_token IS NOT NULL
                        AND coalesce(lane.leased_until <= now, true)
                        AND coalesce(lane.blocked_until <= now, true) AS free
                FROM (SELECT clock_timestamp() AS now) AS clock
            ) AS lease
        )
    RETURNING * INTO taken;
    committed := clock_timestamp();
    INSERT INTO events (user_id, sequence, id, type, topic, source, task_id, time, data, traceparent)
    VALUES (
        new_user, taken.head, new_id, new_type, new_topic, new_source, new_task, committed,
        new_data || jsonb_build_object('timestamp', rfc3339(committed)), new_traceparent
    )
    RETURNING * INTO appended;
    RETURN jsonb_build_object(
        'outbound', outbound_event(appended),
        'published', taken.published,
        'leased', coalesce(taken.lease_token = new_lease, false)
    );
END $$;

-- What the holder of a lease learns of a lane: whether it holds it, where it stands, and its next events.
CREATE FUNCTION lane_to_publish(lane lanes, lease uuid, most bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    is_held boolean := coalesce(lane.lease_token = lease, false);
    next_events jsonb := '[]';
BEGIN
    IF is_held THEN
        SELECT coalesce(jsonb_agg(outbound_event(next.event) ORDER BY next.sequence), '[]') INTO next_events
        FROM (
            SELECT event, event.sequence
            FROM events AS event
            WHERE event.user_id = lane.user_id AND event.sequence > lane.published
            ORDER BY event.sequence
            LIMIT most
        ) AS next;
    END IF;
    RETURN jsonb_build_object('held', is_held, 'published', lane.published, 'events', next_events);
END $$;

-- Takes the lease of a lane with something to publish, if it is free and the lane does not rest.
CREATE FUNCTION take_lane(lane_user text, lease uuid, most bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    taken lanes;
BEGIN
    UPDATE lanes SET lease_token = lease, leased_until = clock_timestamp() + lease_length()
    WHERE user_id = lane_user
        AND published < head
        AND coalesce(leased_until <= clock_timestamp(), true)
        AND coalesce(blocked_until <= clock_timestamp(), true)
    RETURNING * INTO taken;
    RETURN lane_to_publish(taken, lease, most);
END $$;

-- Records that a lane's events after `acknowledged` up to `up_to` are at the broker, and counts them for analytics. A lane
-- with nothing left is released in any case; otherwise the lease is renewed, unless it is to be released or the lane to
-- rest. Only the holder moves a lane: where it does not stand at `acknowledged`, or the lease is another's, nothing
-- happens.
CREATE FUNCTION acknowledge_lane(
    lane_user text, lease uuid, acknowledged bigint, up_to bigint, release boolean, rest boolean, most bigint
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    held lanes;
BEGIN
    UPDATE lanes SET
        published = up_to,
        lease_token = CASE WHEN head > up_to AND NOT release THEN lease_token END,
        leased_until = CASE WHEN head > up_to AND NOT release THEN clock_timestamp() + lease_length() END,
        blocked_until = CASE WHEN rest THEN clock_timestamp() + interval '5 minutes' END
    WHERE user_id = lane_user AND lease_token = lease AND published = acknowledged
    RETURNING * INTO held;
    IF held.user_id IS NOT NULL AND up_to > acknowledged THEN
        INSERT INTO analytics_daily AS daily (user_id, day, type, count)
        SELECT event.user_id, (event.time AT TIME ZONE 'UTC')::date, event.type, count(*)
        FROM events AS event
        WHERE event.user_id = lane_user AND event.sequence > acknowledged AND event.sequence <= up_to
        GROUP BY 1, 2, 3
        ON CONFLICT (user_id, day, type) DO UPDATE SET count = daily.count + excluded.count;
    END IF;
    RETURN lane_to_publish(held, lease, most);
END $$;

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
            coalesce(sum(lane.head - lane.published), 0)::bigint AS events,
            min((
                SELECT next.time FROM events AS next
                WHERE next.user_id = lane.user_id AND next.sequence = lane.published + 1
            )) AS oldest,
            count(*) FILTER (WHERE lane.blocked_until > now()) AS blocked
        FROM lanes AS lane
        WHERE lane.published < lane.head
    ) AS behind,
    -- As the sweep counts them: the reminder of a task that is not open any more is about to be cancelled.
    (
        SELECT count(*) AS reminders, min(reminder.remind_at) AS oldest
        FROM reminders AS reminder
        WHERE reminder.status = 'scheduled'
            AND reminder.remind_at <= now()
            AND (SELECT NOT task.completed FROM tasks AS task WHERE task.id = reminder.task_id)
    ) AS overdue,
    (SELECT count(*) AS letters FROM dead_letters WHERE status = 'open') AS pending;

-- How many sidecars have an open breaker. The row of a pod that is gone stays open, but is probed no more.
CREATE VIEW breaker_gauges AS
SELECT
    dependency,
    (
        SELECT count(*)
        FROM publish_breaker AS breaker
        WHERE breaker.dependency = each.dependency
            AND breaker.failures > 0
            AND breaker.probe_at > now() - interval '10 minutes'
    ) AS open
FROM (VALUES ('pubsub'), ('jobs')) AS each (dependency);

GRANT SELECT ON service_gauges, breaker_gauges TO pg_monitor;
