-- The forms that leave the database: instants as RFC 3339 in UTC, tasks and notifications as the REST API shows them,
-- events as CloudEvents 1.0 in structured JSON.

CREATE OR REPLACE FUNCTION rfc3339(instant timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- How a task recurs. One that an earlier version wrote has its interval alone, and missed due dates were kept then.
CREATE OR REPLACE FUNCTION recurrence_of(task tasks) RETURNS jsonb LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF task.recurrence IS NULL AND task.recurring_interval IS NOT NULL THEN
        RETURN jsonb_build_object(
            'rule', 'FREQ=' || upper(task.recurring_interval::text), 'from', 'schedule', 'missed', 'keep'
        );
    END IF;
    RETURN task.recurrence;
END $$;

-- A task as the REST API shows it. In PL/pgSQL: SQL would be planned anew, part by part, with every statement that calls it.
-- As text, put together once: in jsonb it takes three times as long.
CREATE OR REPLACE FUNCTION task_text(task tasks) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN '{"id":"' || task.id
        || '","user_id":' || to_json(task.user_id)
        || ',"title":' || to_json(task.title)
        || ',"description":' || coalesce(to_json(task.description)::text, 'null')
        || ',"completed":' || task.completed
        || ',"completed_at":' || coalesce('"' || rfc3339(task.completed_at) || '"', 'null')
        || ',"skipped_at":' || coalesce('"' || rfc3339(task.skipped_at) || '"', 'null')
        || ',"priority":"' || task.priority
        || '","tags":' || to_json(task.tags)
        || ',"due_date":' || coalesce('"' || rfc3339(task.due_date) || '"', 'null')
        || ',"timezone":' || to_json(task.timezone)
        || ',"is_recurring":' || task.is_recurring
        || ',"recurring_interval":' || coalesce('"' || task.recurring_interval || '"', 'null')
        || ',"recurrence":' || coalesce(recurrence_of(task)::text, 'null')
        || ',"reminders":' || coalesce(task.reminders::text, 'null')
        || ',"series_id":"' || task.series_id
        || '","occurrence":' || task.occurrence
        || ',"anchor_day":' || coalesce(task.anchor_day::text, 'null')
        || ',"wall_clock_due":' || coalesce('"' || to_char(task.wall_clock_due, 'YYYY-MM-DD"T"HH24:MI:SS.US') || '"', 'null')
        || ',"version":' || task.version
        || ',"created_at":"' || rfc3339(task.created_at)
        || '","updated_at":"' || rfc3339(task.updated_at) || '"}';
END $$;

CREATE OR REPLACE FUNCTION task_json(task tasks) RETURNS jsonb LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN task_text(task);
END $$;

CREATE OR REPLACE FUNCTION notification_json(notification notifications) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'id', notification.id,
        'user_id', notification.user_id,
        'task_id', notification.task_id,
        'task_title', notification.task_title,
        'remind_at', rfc3339(notification.remind_at),
        'due_date', rfc3339(notification.due_date),
        'created_at', rfc3339(notification.created_at),
        'read', notification.read_at IS NOT NULL,
        'read_at', rfc3339(notification.read_at),
        'snoozed_until', rfc3339(notification.snoozed_until)
    );

-- One source for each lane, so that `sequence` is what CloudEvents' extension says. Of the characters of a user id only
-- two must be percent-encoded.
CREATE OR REPLACE FUNCTION event_source(user_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '/todo/users/' || replace(replace(user_id, '@', '%40'), '|', '%7C');

-- An event says itself which request it goes back to. As a header alone it would not: a batch has one header, and with
-- telemetry on Spin writes the trace of the instance that publishes over it. Dapr keeps both attributes where they are
-- given, and makes the delivery part of that trace.
--
-- As text, put together once: in jsonb, each step would copy all that came before it.
CREATE OR REPLACE FUNCTION cloud_event_text(event events) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN '{"specversion":"1.0","id":"' || event.id
        || '","source":' || to_json(event_source(event.user_id))
        || ',"type":' || to_json(event.type)
        || ',"subject":"' || event.task_id
        || '","time":"' || rfc3339(event.time)
        || '","datacontenttype":"application/json","dataschema":' || to_json('urn:todo-events:schema:' || event.type || ':1')
        || ',"partitionkey":' || to_json(event.user_id)
        || ',"sequence":"' || lpad(event.sequence::text, 20, '0')
        || coalesce('","causationid":"' || event.causation_id, '')
        || '","data":' || event.data;

CREATE OR REPLACE FUNCTION cloud_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (cloud_event_text(event) || '}')::jsonb;

-- What a publisher needs to know of an event.
CREATE OR REPLACE FUNCTION outbound_event_text(event events) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN '{"user_id":' || to_json(event.user_id)
        || ',"sequence":' || event.sequence
        || ',"topic":' || to_json(event.topic)
        || ',"event":' || cloud_event_text(event)
        || coalesce(
            ',"traceparent":' || to_json(event.traceparent) || ',"traceid":' || to_json(event.traceparent), ''
        )
        || '}}';

CREATE OR REPLACE FUNCTION outbound_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN outbound_event_text(event)::jsonb;
