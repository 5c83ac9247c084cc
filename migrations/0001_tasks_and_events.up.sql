-- Tasks, the events about them, and what keeps the events complete and in order.

CREATE TYPE priority AS ENUM ('low', 'medium', 'high');
CREATE TYPE recurring_interval AS ENUM ('daily', 'weekly', 'monthly');

CREATE TABLE tasks (
    id                 uuid PRIMARY KEY,
    user_id            text NOT NULL,
    title              text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    description        text CHECK (length(description) <= 1000),
    completed          boolean NOT NULL DEFAULT false,
    completed_at       timestamptz,
    priority           priority NOT NULL,
    tags               text[] NOT NULL CHECK (cardinality(tags) <= 10),
    due_date           timestamptz,
    timezone           text NOT NULL,
    is_recurring       boolean NOT NULL,
    recurring_interval recurring_interval,
    series_id          uuid NOT NULL,
    occurrence         integer NOT NULL CHECK (occurrence >= 1),
    anchor_day         smallint CHECK (anchor_day BETWEEN 1 AND 31),
    version            bigint NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    CHECK (completed = (completed_at IS NOT NULL)),
    CHECK (is_recurring = (recurring_interval IS NOT NULL)),
    CHECK ((due_date IS NULL) = (anchor_day IS NULL))
);

-- One index for each order of GET /api/{user_id}/tasks. Tasks without a due date come last in both directions.
CREATE INDEX tasks_by_created_at ON tasks (user_id, created_at, id);
CREATE INDEX tasks_by_due_date_asc ON tasks (user_id, (coalesce(due_date, 'infinity')), id);
CREATE INDEX tasks_by_due_date_desc ON tasks (user_id, (coalesce(due_date, '-infinity')), id);
CREATE INDEX tasks_by_priority ON tasks (user_id, priority, id);

-- A user's lane numbers the user's events in commit order. `published` is the number up to which all are at the
-- broker; the holder of the lease publishes the rest, one after another.
CREATE TABLE lanes (
    user_id       text PRIMARY KEY,
    head          bigint NOT NULL,
    published     bigint NOT NULL DEFAULT 0,
    lease_token   uuid,
    leased_until  timestamptz,
    -- Set when the broker's side refuses the next event for good; the lane rests until then.
    blocked_until timestamptz,
    CHECK (published BETWEEN 0 AND head),
    CHECK ((lease_token IS NULL) = (leased_until IS NULL))
) WITH (fillfactor = 70);

-- Lanes with something left to publish, for the relay.
CREATE INDEX lanes_behind ON lanes (user_id) WHERE published < head;

-- Append-only: outbox, event store for replay, and source of analytics in one.
CREATE TABLE events (
    user_id     text NOT NULL,
    sequence    bigint NOT NULL,
    id          uuid NOT NULL UNIQUE,
    type        text NOT NULL,
    topic       text NOT NULL CHECK (topic IN ('tasks', 'reminders')),
    source      text NOT NULL,
    task_id     uuid NOT NULL,
    time        timestamptz NOT NULL,
    data        jsonb NOT NULL,
    traceparent text,
    PRIMARY KEY (user_id, sequence)
);

-- While failures are counted, the breaker is open: nobody but the relay calls that dependency of that sidecar.
CREATE TABLE publish_breaker (
    sidecar    text NOT NULL,
    dependency text NOT NULL CHECK (dependency IN ('pubsub', 'jobs')),
    failures   integer NOT NULL,
    probe_at   timestamptz NOT NULL,
    PRIMARY KEY (sidecar, dependency)
);

-- Which handler has dealt with which event.
CREATE TABLE processed_events (
    handler      text NOT NULL,
    event_id     uuid NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (handler, event_id)
);

-- One successor for each task of a series; outlives both tasks.
CREATE TABLE task_successors (
    task_id      uuid NOT NULL,
    occurrence   integer NOT NULL,
    successor_id uuid NOT NULL,
    PRIMARY KEY (task_id, occurrence)
);

-- The request that a key was first used for; its answer is the task in that event.
CREATE TABLE idempotency_keys (
    user_id      text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    event_id     uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, key)
);

-- The forms that leave the database: instants as RFC 3339 in UTC, tasks as the REST API shows them, events as
-- CloudEvents 1.0 in structured JSON.

CREATE FUNCTION rfc3339(instant timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

CREATE FUNCTION task_json(task tasks) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'id', task.id,
        'user_id', task.user_id,
        'title', task.title,
        'description', task.description,
        'completed', task.completed,
        'completed_at', rfc3339(task.completed_at),
        'priority', task.priority,
        'tags', to_jsonb(task.tags),
        'due_date', rfc3339(task.due_date),
        'timezone', task.timezone,
        'is_recurring', task.is_recurring,
        'recurring_interval', task.recurring_interval,
        'series_id', task.series_id,
        'occurrence', task.occurrence,
        'anchor_day', task.anchor_day,
        'version', task.version,
        'created_at', rfc3339(task.created_at),
        'updated_at', rfc3339(task.updated_at)
    );

-- A task as the data of its events name it: `id` is `task_id` there.
CREATE FUNCTION task_data(task tasks) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN task_json(task) - 'id' || jsonb_build_object('task_id', task.id);

CREATE FUNCTION cloud_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'specversion', '1.0',
        'id', event.id,
        'source', event.source,
        'type', event.type,
        'subject', event.task_id,
        'time', rfc3339(event.time),
        'datacontenttype', 'application/json',
        'dataschema', 'urn:todo-events:schema:' || event.type || ':1',
        'partitionkey', event.user_id,
        'sequence', lpad(event.sequence::text, 20, '0'),
        'data', event.data
    );

-- What a publisher needs to know of an event.
CREATE FUNCTION outbound_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'user_id', event.user_id,
        'sequence', event.sequence,
        'topic', event.topic,
        'traceparent', event.traceparent,
        'event', cloud_event(event)
    );
