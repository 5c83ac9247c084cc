-- What operators need: preconditions of all changes.

SET lock_timeout = '2s';
SET statement_timeout = 0;

-- Another parameter, with a default: the version before goes on calling without it.
DROP FUNCTION complete_task(text, uuid, jsonb);
DROP FUNCTION reopen_task(text, uuid, jsonb);
DROP FUNCTION delete_task(text, uuid, jsonb);

CREATE OR REPLACE FUNCTION complete_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks AS pending
    WHERE pending.id = complete_task.task_id AND pending.user_id = complete_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    ELSIF task.version <> ALL (versions) THEN
        RETURN answer('precondition_failed');
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

CREATE OR REPLACE FUNCTION reopen_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks AS done
    WHERE done.id = reopen_task.task_id AND done.user_id = reopen_task.user_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN answer('not_found');
    ELSIF task.version <> ALL (versions) THEN
        RETURN answer('precondition_failed');
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
CREATE OR REPLACE FUNCTION delete_task(
    user_id text, task_id uuid, outbox jsonb, versions bigint[] DEFAULT NULL
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
DECLARE
    task tasks;
BEGIN
    DELETE FROM tasks AS gone
    WHERE gone.id = delete_task.task_id
        AND gone.user_id = delete_task.user_id
        AND coalesce(gone.version = ANY (versions), true)
    RETURNING * INTO task;
    IF NOT FOUND THEN
        RETURN answer(CASE
            WHEN EXISTS (
                SELECT FROM tasks AS kept
                WHERE kept.id = delete_task.task_id AND kept.user_id = delete_task.user_id
            ) THEN 'precondition_failed'
            ELSE 'not_found'
        END);
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

-- What an operator can do about a lane.
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

-- After a restore to the past.
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

-- An end for what had none. Each index is small beside the tables that grow with traffic; what writes to its table waits
-- while it is made.
CREATE INDEX analytics_daily_by_day ON analytics_daily (day);
CREATE INDEX task_successors_by_successor ON task_successors (successor_id);

DROP FUNCTION expire_rows(integer, bigint, bigint, bigint, bigint, bigint);

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

-- Plans that are kept whatever the role says.
-- A key that is taken gives the first answer again, for a day, if the request is the same. The task as it was created is
-- in its event.
CREATE OR REPLACE FUNCTION create_task(
    user_id text, task_id uuid, fields jsonb, anchor_day smallint, key text, request_hash bytea, outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
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
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
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

-- Creates the task that follows a completed one in its series, unless the event was handled before, the completed task is
-- gone, or it has its successor. The completed task is locked, so that it cannot be deleted meanwhile. The successor's
-- natural key outlives both tasks: neither reopening nor deleting makes a second one.
CREATE OR REPLACE FUNCTION create_successor(
    event_id uuid, user_id text, task_id uuid, occurrence integer, successor_id uuid, fields jsonb, outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
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

-- Brings a task's reminder to what an event of the task wants: the moment, or the reason why there is none.
--
-- A redelivery changes nothing but still tells the alarm, in case a crash came before it was set. Where the task has a
-- row, its number tells an event that is older than the last one applied. A task that never wanted a reminder has no row:
-- there an event that wants one is believed only while the task is as the event says. If it is not, a later event changed
-- it, and was handled, or will be.
CREATE OR REPLACE FUNCTION apply_reminder(
    event_id uuid, sequence bigint, user_id text, task_id uuid, moment timestamptz, due_date timestamptz, reason text,
    outbox jsonb
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
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
CREATE OR REPLACE FUNCTION ring_reminder(task_id uuid, outbox jsonb) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
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
) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
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

-- Records what the clock of a reminder was set to, unless something else is wanted by now: another moment that is near, or
-- none.
CREATE OR REPLACE FUNCTION record_alarm(task_id uuid, alarm timestamptz) RETURNS jsonb LANGUAGE plpgsql
    SET plan_cache_mode = auto
AS $$
BEGIN
    UPDATE reminders AS r SET alarm_set = record_alarm.alarm
    WHERE r.task_id = record_alarm.task_id
        AND (
            r.alarm_wanted IS NOT DISTINCT FROM record_alarm.alarm
            OR record_alarm.alarm IS NULL AND r.alarm_wanted > statement_timestamp() + alarm_horizon()
        );
    RETURN 'null';
END $$;

-- Changed often beside much that rests: by default a fifth of all reminders would have to be dead before they are cleaned up.
ALTER TABLE reminders SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
