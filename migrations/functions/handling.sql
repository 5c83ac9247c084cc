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

-- Whether the subscriptions deliver an event to the handler of a stream, and the handler claims it. The end of a task
-- without a due date is nobody's business: it has no reminder, or the change that cleared the date took it back before.
CREATE OR REPLACE FUNCTION is_delivered(stream text, type text, data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE stream
        WHEN 'recurrence' THEN type IN ('task.completed', 'task.skipped') AND data -> 'is_recurring' = 'true'
        WHEN 'notification' THEN type = 'reminder.triggered'
        WHEN 'reminder' THEN CASE type
            WHEN 'task.updated' THEN data -> 'changed_fields' ?| ARRAY['due_date', 'completed', 'skipped_at', 'reminders']
            ELSE type IN ('task.created', 'task.completed', 'task.skipped', 'task.deleted') AND data ->> 'due_date' IS NOT NULL
        END
    END;
