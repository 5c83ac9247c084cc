-- An event says itself which request it goes back to. As a header alone it would not: with telemetry on, Spin writes the
-- trace of the instance that publishes over it, which may be the relay's, or another request's of the same user. Dapr
-- keeps both attributes where they are given, and makes the delivery part of that trace.
CREATE OR REPLACE FUNCTION outbound_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'user_id', event.user_id,
        'sequence', event.sequence,
        'topic', event.topic,
        'traceparent', event.traceparent,
        'event', cloud_event(event) || CASE
            WHEN event.traceparent IS NULL THEN '{}'::jsonb
            ELSE jsonb_build_object('traceparent', event.traceparent, 'traceid', event.traceparent)
        END
    );
