-- What is done with lanes, as functions: PostgreSQL keeps the plans of a function for as long as a connection lives,
-- while Spin has every statement planned anew. Called from a statement, a function is part of its transaction.

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
