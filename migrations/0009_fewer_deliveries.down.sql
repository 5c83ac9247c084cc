-- The end of every task is delivered to the reminder handler.

SET lock_timeout = '2s';
SET statement_timeout = 0;

-- Whether the subscriptions deliver an event to the handler of a stream, and the handler claims it.
CREATE OR REPLACE FUNCTION is_delivered(stream text, type text, data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE stream
        WHEN 'recurrence' THEN type = 'task.completed' AND data -> 'is_recurring' = 'true'
        WHEN 'notification' THEN type = 'reminder.triggered'
        WHEN 'reminder' THEN CASE type
            WHEN 'task.created' THEN data ->> 'due_date' IS NOT NULL
            WHEN 'task.updated' THEN data -> 'changed_fields' ?| ARRAY['due_date', 'completed']
            ELSE type IN ('task.completed', 'task.deleted')
        END
    END;
