CREATE OR REPLACE FUNCTION outbound_event(event events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN jsonb_build_object(
        'user_id', event.user_id,
        'sequence', event.sequence,
        'topic', event.topic,
        'traceparent', event.traceparent,
        'event', cloud_event(event)
    );
