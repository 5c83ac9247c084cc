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
-- be more. Events and claims are dropped with their partitions, but for what lies in the default ones. Ids of notifications
-- and of successors are UUIDv7, which tell their age. A period that is NULL has no end.
CREATE OR REPLACE FUNCTION expire_rows(
    most integer, idempotency_keys_seconds bigint, read_notifications_seconds bigint, dead_letters_seconds bigint,
    events_seconds bigint, processed_ids_seconds bigint, unread_notifications_seconds bigint DEFAULT NULL,
    analytics_seconds bigint DEFAULT NULL
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
    DELETE FROM notifications WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM notifications
        WHERE id < first_uuid(now - second * unread_notifications_seconds) AND read_at IS NULL
        ORDER BY id
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    DELETE FROM analytics_daily WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM analytics_daily
        WHERE day < ((now - second * analytics_seconds) AT TIME ZONE 'UTC')::date
        ORDER BY day
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted; more := more OR deleted = most;
    -- What could ask for the same successor once more is forgotten by then.
    DELETE FROM task_successors WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM task_successors
        WHERE successor_id < first_uuid(now - second * processed_ids_seconds)
        ORDER BY successor_id
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
