-- What an operator can do about a lane that waits: retry it, or skip its next event; and about all lanes after a restore to the
-- past. Locks as in publishing.sql: the lane, then its row of the queue.

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
