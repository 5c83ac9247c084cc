-- The calendar of a user's tasks for programs that subscribe to an address. Whoever knows the address reads it, so of the
-- secret in it only the hash is kept.

-- Gives the user's calendar another secret; the one before is worth nothing from then on.
CREATE OR REPLACE FUNCTION replace_calendar(user_id text, secret_hash bytea) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    calendar calendars;
BEGIN
    INSERT INTO calendars AS own (user_id, secret_hash, created_at)
    VALUES (replace_calendar.user_id, replace_calendar.secret_hash, now())
    ON CONFLICT ON CONSTRAINT calendars_pkey DO UPDATE SET
        secret_hash = excluded.secret_hash, created_at = excluded.created_at
    RETURNING * INTO calendar;
    RETURN json_build_object('created_at', rfc3339(calendar.created_at));
END $$;

-- Whether there was one.
CREATE OR REPLACE FUNCTION revoke_calendar(user_id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM calendars AS own WHERE own.user_id = revoke_calendar.user_id;
    RETURN FOUND;
END $$;

-- How many tasks a calendar shows.
CREATE OR REPLACE FUNCTION most_shown() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 500;

-- The tasks that the calendar with this secret shows, and a tag that is another one whenever they are; NULL where no calendar
-- has the secret, and only the tag where it is one of `known`, a list of texts. Shown is what is due from 30 days ago on,
-- done or not, but not what was skipped, the soonest first. The days are whole ones, so that time alone changes the calendar but once a day.
CREATE OR REPLACE FUNCTION read_calendar(secret_hash bytea, known jsonb) RETURNS json LANGUAGE plpgsql STABLE
    SET plan_cache_mode = auto
AS $$
DECLARE
    owner text := (SELECT own.user_id FROM calendars AS own WHERE own.secret_hash = read_calendar.secret_hash);
    since timestamptz := date_trunc('day', statement_timestamp(), 'UTC') - interval '30 days';
    shown tasks[];
    tag text;
BEGIN
    IF owner IS NULL THEN
        RETURN NULL;
    END IF;
    -- The expression is that of an index.
    shown := ARRAY(
        SELECT task FROM tasks AS task
        WHERE task.user_id = owner
            AND coalesce(task.due_date, 'infinity') >= since
            AND coalesce(task.due_date, 'infinity') < 'infinity'
            AND task.skipped_at IS NULL
        ORDER BY coalesce(task.due_date, 'infinity'), task.id
        LIMIT most_shown()
    );
    tag := (
        SELECT encode(sha256(convert_to(
            coalesce(string_agg(task.id || ' ' || task.version, ' ' ORDER BY task.due_date, task.id), ''), 'UTF8'
        )), 'hex')
        FROM unnest(shown) AS task
    );
    RETURN '{"tag":"' || tag || '","tasks":' || CASE
        WHEN known ?| ARRAY[tag, '*'] THEN 'null'
        ELSE '[' || coalesce((
            SELECT string_agg(task_text(task), ',' ORDER BY task.due_date, task.id) FROM unnest(shown) AS task
        ), '') || ']'
    END || '}';
END $$;
