-- What operators see and do, for the API and for the program alike.

SET lock_timeout = '2s';
SET statement_timeout = 0;

-- A dead letter, with so many bytes of its payload, in base64, and so many characters of what else its sender wrote. In SQL and
-- without settings, so that it is made part of the statement that calls it: as a value of its own a row has its whole payload.
CREATE OR REPLACE FUNCTION dead_letter_json(letter dead_letters, most integer) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'id', letter.id,
        'status', letter.status,
        'topic', left(letter.topic, most),
        'partition', letter.kafka_partition,
        'offset', letter.kafka_offset,
        'event_id', left(letter.event_id, most),
        'event_type', left(letter.event_type, most),
        'user_id', left(letter.user_id, most),
        'deliveries', letter.deliveries,
        'first_received_at', rfc3339(letter.first_received_at),
        'last_received_at', rfc3339(letter.last_received_at),
        'resolved_at', rfc3339(letter.resolved_at),
        'bytes', octet_length(letter.payload),
        'payload', translate(encode(substring(letter.payload FROM 1 FOR most), 'base64'), E'\n', '')
    );

-- A dead letter by its id; NULL where there is none.
CREATE OR REPLACE FUNCTION read_dead_letter(letter_id uuid, bytes integer) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT dead_letter_json(stored, bytes) FROM dead_letters AS stored WHERE stored.id = letter_id);
END $$;

-- A page of dead letters: the open ones, the oldest first, or those that were dealt with, the latest first. `last` is the place
-- to go on after, where there are more.
CREATE OR REPLACE FUNCTION list_dead_letters(
    is_open boolean, after_at timestamptz, after_id uuid, most integer, bytes integer
) RETURNS jsonb LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
BEGIN
    IF is_open THEN
        RETURN (
            WITH page AS (
                SELECT
                    dead_letter_json(stored, bytes) AS letter, stored.first_received_at AS at, stored.id,
                    row_number() OVER (ORDER BY stored.first_received_at, stored.id) AS place
                FROM dead_letters AS stored
                WHERE stored.status = 'open'
                    AND stored.first_received_at >= coalesce(after_at, '-infinity')
                    AND (after_id IS NULL OR (stored.first_received_at, stored.id) > (after_at, after_id))
                ORDER BY stored.first_received_at, stored.id
                LIMIT most + 1
            )
            SELECT jsonb_build_object(
                'letters', coalesce(jsonb_agg(letter ORDER BY place) FILTER (WHERE place <= most), '[]'),
                'last', CASE WHEN count(*) > most THEN jsonb_agg(
                    jsonb_build_object('k', rfc3339(at), 'i', id)
                ) FILTER (WHERE place = most) -> 0 END
            )
            FROM page
        );
    END IF;
    RETURN (
        WITH page AS (
            SELECT
                dead_letter_json(stored, bytes) AS letter, stored.resolved_at AS at, stored.id,
                row_number() OVER (ORDER BY stored.resolved_at DESC, stored.id DESC) AS place
            FROM dead_letters AS stored
            WHERE stored.status <> 'open'
                AND stored.resolved_at <= coalesce(after_at, 'infinity')
                AND (after_id IS NULL OR (stored.resolved_at, stored.id) < (after_at, after_id))
            ORDER BY stored.resolved_at DESC, stored.id DESC
            LIMIT most + 1
        )
        SELECT jsonb_build_object(
            'letters', coalesce(jsonb_agg(letter ORDER BY place) FILTER (WHERE place <= most), '[]'),
            'last', CASE WHEN count(*) > most THEN jsonb_agg(
                jsonb_build_object('k', rfc3339(at), 'i', id)
            ) FILTER (WHERE place = most) -> 0 END
        )
        FROM page
    );
END $$;

-- Marks an open dead letter as `replayed` or `discarded`. The outcome is `resolved`, `unchanged` (it was that already),
-- `resolved_otherwise` or `not_found`. A letter that comes again opens itself (record_dead_letter).
CREATE OR REPLACE FUNCTION resolve_dead_letter(letter_id uuid, resolution text, bytes integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    letter jsonb;
    was text;
BEGIN
    IF resolution IS NULL OR resolution NOT IN ('replayed', 'discarded') THEN
        RAISE 'a dead letter is replayed or discarded';
    END IF;
    UPDATE dead_letters AS stored SET status = resolution, resolved_at = clock_timestamp()
    WHERE stored.id = letter_id AND stored.status = 'open'
    RETURNING dead_letter_json(stored, bytes) INTO letter;
    IF FOUND THEN
        RETURN jsonb_build_object('outcome', 'resolved', 'letter', letter);
    END IF;
    SELECT dead_letter_json(stored, bytes), stored.status INTO letter, was FROM dead_letters AS stored WHERE stored.id = letter_id;
    RETURN jsonb_build_object(
        'outcome', CASE was WHEN resolution THEN 'unchanged' ELSE CASE WHEN FOUND THEN 'resolved_otherwise' ELSE 'not_found' END END,
        'letter', letter
    );
END $$;

-- A lane with something unpublished, and its next event; `event` is null where that is missing. `state` is `blocked` (somebody
-- has to look), `held` (somebody is publishing), `resting` or `waiting`.
CREATE OR REPLACE FUNCTION lane_json(turn publish_queue) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    now timestamptz := clock_timestamp();
    lane lanes;
    event events;
BEGIN
    SELECT * INTO lane FROM lanes AS own WHERE own.user_id = turn.user_id;
    SELECT * INTO event FROM events AS next
    WHERE next.user_id = turn.user_id AND next.sequence = lane.published + 1 AND next.time >= turn.since
    LIMIT 1;
    RETURN jsonb_build_object(
        'user_id', turn.user_id,
        'state', CASE
            WHEN turn.blocked THEN 'blocked'
            WHEN turn.held_until > now THEN 'held'
            WHEN turn.turn_at > now THEN 'resting'
            ELSE 'waiting'
        END,
        'events', lane.head - lane.published,
        'attempts', turn.attempts,
        'held', coalesce(turn.held_until > now, false),
        'rests', turn.turn_at > now,
        'turn_at', rfc3339(turn.turn_at),
        'sequence', lane.published + 1,
        'event', CASE WHEN event.id IS NOT NULL THEN jsonb_build_object(
            'id', event.id,
            'type', event.type,
            'task_id', event.task_id,
            'time', rfc3339(event.time),
            'bytes', octet_length((outbound_event(event) -> 'event')::text)
        ) END
    );
END $$;

-- A user's lane; NULL where nothing of it waits.
CREATE OR REPLACE FUNCTION read_lane(user_id text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT lane_json(turn) FROM publish_queue AS turn WHERE turn.user_id = read_lane.user_id);
END $$;

-- Lanes with something unpublished: those that rest, the longest resting first, or those that wait for a publisher, the longest
-- waiting first. `more` says that there are more of them.
CREATE OR REPLACE FUNCTION list_lanes(is_resting boolean, most integer) RETURNS jsonb LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
    now timestamptz := statement_timestamp();
    listed jsonb[];
BEGIN
    IF is_resting THEN
        listed := ARRAY(
            SELECT lane_json(turn) FROM publish_queue AS turn WHERE turn.turn_at > now ORDER BY turn.turn_at DESC LIMIT most + 1
        );
    ELSE
        listed := ARRAY(
            SELECT lane_json(turn) FROM publish_queue AS turn WHERE turn.turn_at <= now ORDER BY turn.turn_at LIMIT most + 1
        );
    END IF;
    RETURN jsonb_build_object('lanes', to_jsonb(listed[:most]), 'more', cardinality(listed) > most);
END $$;

-- How the service does: what waits, publishers and breakers, overdue reminders, dead letters, and the last ten minutes. Of each
-- kind at most so many rows are looked at, of events and claims some fixed number; where there are more it says `more`, and
-- the numbers are of those that were looked at.
CREATE OR REPLACE FUNCTION service_overview(most integer) RETURNS jsonb LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
    now timestamptz := statement_timestamp();
    most_events CONSTANT integer := 50000;
    most_claims CONSTANT integer := 500;
    span CONSTANT interval := interval '10 minutes';
    queue jsonb;
    publishers jsonb;
    jobs jsonb;
    reminders jsonb;
    letters jsonb;
    minutes jsonb;
    latencies jsonb;
    complete_since timestamptz;
BEGIN
    -- From both ends: what waits the longest, and what rests the longest.
    SELECT jsonb_build_object(
        'lanes', count(*),
        'events', coalesce(
            sum((SELECT lane.head - lane.published FROM lanes AS lane WHERE lane.user_id = turn.user_id)), 0
        )::bigint,
        'resting', count(*) FILTER (WHERE turn.turn_at > now),
        'blocked', count(*) FILTER (WHERE turn.blocked),
        'oldest', rfc3339(min(CASE WHEN turn.since > '-infinity' THEN turn.since ELSE least(turn.turn_at, now) END)),
        'more', greatest(
            count(*) FILTER (WHERE turn.turn_at <= now), count(*) FILTER (WHERE turn.turn_at > now)
        ) >= most
    ) INTO queue
    FROM (
        (SELECT * FROM publish_queue WHERE turn_at <= now ORDER BY turn_at LIMIT most)
        UNION ALL
        (SELECT * FROM publish_queue WHERE turn_at > now ORDER BY turn_at DESC LIMIT most)
    ) AS turn;
    -- While failures are counted the breaker is open; once `retry_at` is past, the next call is the probe.
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'sidecar', left(each.sidecar, 256),
        'breaker', CASE WHEN each.failures = 0 THEN 'closed' WHEN each.retry_at > now THEN 'open' ELSE 'half_open' END,
        'failures', each.failures,
        'retry_at', rfc3339(each.retry_at),
        'publishing', coalesce(each.held_until > now, false),
        'tended_at', rfc3339(each.tended_at)
    )), '[]') INTO publishers
    FROM (SELECT * FROM publishers AS own ORDER BY own.sidecar LIMIT 100) AS each;
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'sidecar', left(each.sidecar, 256),
        'breaker', CASE WHEN each.failures = 0 THEN 'closed' WHEN each.retry_at > now THEN 'open' ELSE 'half_open' END,
        'failures', each.failures,
        'retry_at', rfc3339(each.retry_at)
    )), '[]') INTO jobs
    FROM (SELECT * FROM jobs_breakers AS own ORDER BY own.sidecar LIMIT 100) AS each;
    -- As the sweep counts them: an alarm has some seconds to ring, and the reminder of a task that is not open any more is about
    -- to be cancelled.
    SELECT jsonb_build_object(
        'overdue', count(*) FILTER (WHERE due.is_open), 'oldest', rfc3339(min(due.remind_at) FILTER (WHERE due.is_open)),
        'more', count(*) >= most
    ) INTO reminders
    FROM (
        SELECT
            reminder.remind_at,
            (
                SELECT NOT task.completed AND task.skipped_at IS NULL AND task.due_date = reminder.due_date
                FROM tasks AS task
                WHERE task.id = reminder.task_id
            ) AS is_open
        FROM reminders AS reminder
        WHERE reminder.status = 'scheduled' AND reminder.remind_at <= now - interval '5 seconds'
        ORDER BY reminder.remind_at
        LIMIT most
    ) AS due;
    SELECT jsonb_build_object('open', count(*), 'oldest', rfc3339(min(letter.first_received_at)), 'more', count(*) >= most)
    INTO letters
    FROM (
        SELECT stored.first_received_at FROM dead_letters AS stored
        WHERE stored.status = 'open'
        ORDER BY stored.first_received_at
        LIMIT most
    ) AS letter;
    WITH latest AS MATERIALIZED (
        SELECT event.time FROM events AS event
        WHERE event.time > date_trunc('minute', now) - span AND event.time <= now + interval '1 minute'
        ORDER BY event.time DESC
        LIMIT most_events
    ), counted AS (
        SELECT date_trunc('minute', latest.time) AS start, count(*) AS events FROM latest GROUP BY 1
    )
    SELECT
        (
            SELECT jsonb_agg(
                jsonb_build_object('start', rfc3339(minute.start), 'events', coalesce(counted.events, 0)) ORDER BY minute.start
            )
            FROM generate_series(date_trunc('minute', now) - span, now, interval '1 minute') AS minute (start)
            LEFT JOIN counted USING (start)
        ),
        -- The newest are counted first, so the earliest minutes are those that lack some.
        CASE
            WHEN (SELECT count(*) FROM latest) < most_events THEN date_trunc('minute', now) - span
            ELSE (SELECT min(latest.time) FROM latest)
        END
    INTO minutes, complete_since;
    -- When an event came to the broker is not stored; when its handler claimed it is.
    SELECT coalesce(jsonb_agg(to_jsonb(each) ORDER BY each.handler), '[]') INTO latencies
    FROM (
        SELECT
            claim.handler,
            count(*) AS claims,
            round((percentile_cont(0.5) WITHIN GROUP (ORDER BY claim.waited))::numeric, 1) AS median_ms,
            round((percentile_cont(0.95) WITHIN GROUP (ORDER BY claim.waited))::numeric, 1) AS p95_ms,
            round(max(claim.waited)::numeric, 1) AS longest_ms
        FROM (
            SELECT
                lately.handler,
                extract(epoch FROM lately.processed_at - (
                    SELECT event.time FROM events AS event
                    WHERE event.id = lately.event_id AND event.time > now - interval '1 day'
                    LIMIT 1
                ))::float8 * 1000 AS waited
            FROM (
                SELECT * FROM processed_events AS claimed
                WHERE claimed.processed_at > now - span
                ORDER BY claimed.processed_at DESC
                LIMIT most_claims
            ) AS lately
        ) AS claim
        WHERE claim.waited IS NOT NULL
        GROUP BY claim.handler
    ) AS each;
    RETURN jsonb_build_object(
        'now', rfc3339(now),
        'queue', queue,
        'publishers', publishers,
        'jobs', jobs,
        'reminders', reminders,
        'dead_letters', letters,
        'throughput', jsonb_build_object('complete_since', rfc3339(complete_since), 'minutes', minutes),
        'latencies', latencies
    );
END $$;
