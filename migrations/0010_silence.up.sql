-- Alerts of lanes whose next event is missing, also where they are alone in a turn; a watch over deliveries that takes
-- neither a backlog for sleep nor many missing events for none.

SET lock_timeout = '2s';
SET statement_timeout = 0;

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

-- Looks at a stream, the events of one topic that one handler claims: true if deliveries are to pause, so that the
-- sidecar subscribes anew. That is when the handler has claimed nothing of any kind for 10 s, while some event has
-- been missing all the time, for 10 s, and for 2 ms more for each event that the group may have had to read before it, of
-- which most are no business of the handler and leave no trace: those of the 10 minutes before, up to 40,000. An event
-- counts as missing 15 s after it was committed, if it is published and neither claimed nor a dead letter; for 2 minutes,
-- and among the latest 200 events, which bounds what is looked at. Deliveries pause for 3 s, longer than the sidecar takes
-- to notice, and again after as long as it took to find it asleep, 20 s at the least.
-- What a stream holds is what the subscription's rules let through (`components/task-api/src/subscriptions.rs`).
CREATE OR REPLACE FUNCTION watch_deliveries(stream text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    watching text := CASE watch_deliveries.stream WHEN 'recurrence' THEN 'recurrence' ELSE 'reminder' END;
    missing events;
    patience interval;
    is_silent boolean;
    pauses boolean;
BEGIN
    IF EXISTS (
        SELECT FROM processed_events AS lately
        WHERE lately.processed_at > statement_timestamp() - interval '10 seconds' AND lately.handler = watching
    ) THEN
        RETURN 'false';
    END IF;
    SELECT event.* INTO missing
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
    IF NOT FOUND THEN
        DELETE FROM delivery_watch AS watch
        WHERE watch.stream = watch_deliveries.stream
            AND coalesce(watch.pause_until < statement_timestamp() - interval '2 minutes', true);
        RETURN 'false';
    END IF;
    SELECT interval '10 seconds' + count(*) * interval '2 milliseconds' INTO patience
    FROM (
        SELECT FROM events AS earlier
        WHERE earlier.time > missing.time - interval '10 minutes' AND earlier.time < missing.time
        LIMIT 40000
    ) AS earlier;
    is_silent := NOT EXISTS (
        SELECT FROM delivery_watch AS watch
        JOIN processed_events AS claim ON claim.processed_at > watch.since AND claim.handler = watching
        WHERE watch.stream = watch_deliveries.stream
    );
    INSERT INTO delivery_watch AS watch (stream, event_id, since)
    VALUES (watch_deliveries.stream, missing.id, clock_timestamp())
    ON CONFLICT ON CONSTRAINT delivery_watch_pkey DO UPDATE SET
        event_id = excluded.event_id,
        -- Not only where it is the same event: many go missing at once, and which of them are looked at changes.
        since = CASE WHEN is_silent THEN watch.since ELSE excluded.since END,
        pause_until = CASE
            WHEN is_silent
                AND watch.since < clock_timestamp() - patience
                AND coalesce(
                    watch.pause_until < clock_timestamp() - greatest(patience, interval '20 seconds'), true
                )
            THEN clock_timestamp() + interval '3 seconds'
            ELSE watch.pause_until
        END
    RETURNING coalesce(watch.pause_until > clock_timestamp() + interval '2 seconds', false) INTO pauses;
    RETURN to_jsonb(pauses);
END $$;
