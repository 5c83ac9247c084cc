-- The feed of a user's changes: the events by their numbers, and how many streams of them there may be.

-- The changes after a number: at most so many, and never one whose predecessor is missing, so that whoever follows the feed
-- misses nothing. `after` NULL begins with the oldest that is kept, `latest` after the newest. `gone` says that the next
-- change is not there: it has expired, or the database does not know the number, as after a restore to the past. `last` is the
-- number to go on after. A user's numbers are given and committed in order (append_event), so none appears below `head` later.
-- The latest changes are in one partition or two, so those are asked alone first. Rows are read in the order of the index
-- whatever the planner believes.
CREATE OR REPLACE FUNCTION changes_page(
    user_id text, after bigint, latest boolean, most integer,
    OUT gone boolean, OUT head bigint, OUT last bigint, OUT page text
) LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
    now timestamptz := statement_timestamp();
    oldest timestamptz[] := ARRAY[now - interval '1 day', '-infinity'];
    newest timestamptz[] := ARRAY[now + interval '1 hour', 'infinity'];
    reached bigint;
BEGIN
    head := coalesce((SELECT lane.head FROM lanes AS lane WHERE lane.user_id = changes_page.user_id), 0);
    last := CASE WHEN latest THEN head ELSE after END;
    IF last IS NULL THEN
        SELECT own.sequence - 1 INTO last
        FROM events AS own
        WHERE own.user_id = changes_page.user_id
        ORDER BY own.sequence
        LIMIT 1;
        last := coalesce(last, head);
    END IF;
    FOR part IN 1 .. 2 LOOP
        EXIT WHEN last >= head OR page IS NOT NULL;
        SELECT string_agg(cloud_event_text(following.event) || '}', ',' ORDER BY following.place), max(following.sequence)
        INTO page, reached
        FROM (
            SELECT own.event, own.sequence, row_number() OVER (ORDER BY own.sequence) AS place
            FROM (
                SELECT stored AS event, stored.sequence
                FROM events AS stored
                WHERE stored.user_id = changes_page.user_id AND stored.sequence > changes_page.last
                    AND stored.time >= oldest[part] AND stored.time < newest[part]
                ORDER BY stored.sequence
                LIMIT most
            ) AS own
        ) AS following
        WHERE following.sequence = changes_page.last + following.place;
    END LOOP;
    gone := last > head OR last < head AND page IS NULL;
    last := coalesce(reached, last);
END $$;

-- The same as the feed's component reads it.
CREATE OR REPLACE FUNCTION read_changes(user_id text, after bigint, latest boolean, most integer) RETURNS text
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found record;
BEGIN
    SELECT * INTO found FROM changes_page(user_id, after, latest, most);
    RETURN '{"gone":' || found.gone
        || ',"last":' || found.last
        || ',"more":' || (found.last < found.head)
        || ',"events":[' || coalesce(found.page, '') || ']}';
END $$;

-- Takes a place for a stream, with its first page; `until` the place is free by itself, if nobody frees it before. The outcome
-- is `opened`, with the number of streams of this host; `user_full` or `full`, with the seconds after which to ask again; or
-- `gone`, as of changes_page, which takes no place. The bounds hold exactly: who asks at the same time waits, user first.
CREATE OR REPLACE FUNCTION open_stream(
    stream_id uuid, user_id text, host text, seconds integer, most_of_user integer, most_of_host integer,
    after bigint, latest boolean, most integer
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    page text := read_changes(user_id, after, latest, most);
    now timestamptz;
    streams bigint;
    free_at timestamptz;
    outcome text;
BEGIN
    IF starts_with(page, '{"gone":true') THEN
        RETURN '{"outcome":"gone"}';
    END IF;
    -- A crash of the database may forget a place.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('streams of the user ' || user_id, 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('streams of the host ' || host, 0));
    now := clock_timestamp();
    DELETE FROM change_streams WHERE id = ANY (ARRAY(
        SELECT old.id FROM change_streams AS old WHERE old.until <= now LIMIT 100 FOR UPDATE SKIP LOCKED
    ));
    SELECT count(*), min(own.until) INTO streams, free_at
    FROM change_streams AS own WHERE own.user_id = open_stream.user_id AND own.until > now;
    IF streams >= most_of_user THEN
        outcome := 'user_full';
    ELSE
        SELECT count(*), min(own.until) INTO streams, free_at
        FROM change_streams AS own WHERE own.host = open_stream.host AND own.until > now;
        IF streams >= most_of_host THEN
            outcome := 'full';
        END IF;
    END IF;
    IF outcome IS NOT NULL THEN
        RETURN json_build_object(
            'outcome', outcome,
            'retry_after', coalesce(greatest(1, ceil(extract(epoch FROM free_at - now)))::integer, 1)
        );
    END IF;
    INSERT INTO change_streams (id, user_id, host, until)
    VALUES (stream_id, open_stream.user_id, open_stream.host, now + seconds * interval '1 second');
    RETURN '{"outcome":"opened","streams":' || streams + 1 || ',"page":' || page || '}';
END $$;

-- Frees a stream's place; whether it had one.
CREATE OR REPLACE FUNCTION close_stream(stream_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM change_streams WHERE id = stream_id;
    RETURN FOUND;
END $$;
