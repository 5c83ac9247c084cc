-- What the handlers of reminders, dead letters and analytics keep.

-- A task's reminder. The row is the truth; the Dapr job `reminder-{task_id}` is only its alarm clock.
CREATE TABLE reminders (
    task_id      uuid PRIMARY KEY,
    user_id      text NOT NULL,
    -- The number of the last event applied: a lower or equal one changes nothing.
    sequence     bigint NOT NULL,
    status       text NOT NULL CHECK (status IN ('scheduled', 'cancelled', 'triggered')),
    remind_at    timestamptz,
    due_date     timestamptz,
    -- What the last event did, which tells whether it emits one of its own.
    last_outcome text NOT NULL CHECK (last_outcome IN ('scheduled', 'cancelled', 'none')),
    -- When the alarm clock should ring, and what it was last set to; NULL is not at all.
    alarm_wanted timestamptz,
    alarm_set    timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'scheduled') = (alarm_wanted IS NOT NULL)),
    CHECK (status <> 'scheduled' OR remind_at IS NOT NULL)
);

-- For the relay's sweep: reminders whose moment is past, and alarms that are not set as wanted.
CREATE INDEX reminders_scheduled ON reminders (remind_at) WHERE status = 'scheduled';
CREATE INDEX reminders_unset_alarms ON reminders (updated_at) WHERE alarm_wanted IS DISTINCT FROM alarm_set;
CREATE INDEX reminders_settled ON reminders (updated_at) WHERE status <> 'scheduled';

-- One notification for each moment that a task was reminded of.
CREATE TABLE notifications (
    id         uuid PRIMARY KEY,
    user_id    text NOT NULL,
    task_id    uuid NOT NULL,
    task_title text NOT NULL,
    remind_at  timestamptz NOT NULL,
    due_date   timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    read_at    timestamptz,
    UNIQUE (task_id, remind_at)
);

CREATE INDEX notifications_by_created_at ON notifications (user_id, created_at, id);
CREATE INDEX notifications_unread ON notifications (user_id, created_at, id) WHERE read_at IS NULL;
CREATE INDEX notifications_read ON notifications (read_at) WHERE read_at IS NOT NULL;

-- Records that no handler could deal with, one row for each position that they had in their first topic.
CREATE TABLE dead_letters (
    id                uuid PRIMARY KEY,
    topic             text NOT NULL,
    kafka_partition   integer NOT NULL,
    kafka_offset      bigint NOT NULL,
    payload           bytea NOT NULL,
    -- Read from the payload where it is a CloudEvent.
    event_id          text,
    event_type        text,
    user_id           text,
    deliveries        integer NOT NULL DEFAULT 1,
    status            text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replayed', 'discarded')),
    first_received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_received_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    resolved_at       timestamptz,
    UNIQUE (topic, kafka_partition, kafka_offset)
);

CREATE INDEX dead_letters_open ON dead_letters (first_received_at) WHERE status = 'open';
CREATE INDEX dead_letters_resolved ON dead_letters (resolved_at) WHERE status <> 'open';

-- A user's published events, counted by type and UTC day.
CREATE TABLE analytics_daily (
    user_id text NOT NULL,
    day     date NOT NULL,
    type    text NOT NULL,
    count   bigint NOT NULL,
    PRIMARY KEY (user_id, day, type)
);

-- For retention.
CREATE INDEX events_by_time ON events (time);
CREATE INDEX processed_events_by_time ON processed_events (processed_at);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

CREATE FUNCTION notification_json(notification notifications) RETURNS jsonb
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
        'read_at', rfc3339(notification.read_at)
    );
