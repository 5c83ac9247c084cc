-- Whether published events reach their handler: the oldest that has not, by stream of events, since when it is that
-- one, and until when deliveries pause so that the sidecar subscribes anew.
CREATE TABLE delivery_watch (
    stream      text PRIMARY KEY,
    event_id    uuid NOT NULL,
    since       timestamptz NOT NULL,
    pause_until timestamptz
);
