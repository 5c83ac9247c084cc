-- The end of a task without a due date is not delivered to the reminder handler.

SET lock_timeout = '2s';
SET statement_timeout = 0;

-- Whether the subscriptions deliver an event to the handler of a stream, and the handler claims it. The end of a task
-- without a due date is nobody's business: it has no reminder, or the change that cleared the date took it back before.
CREATE OR REPLACE FUNCTION is_delivered(stream text, type text, data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE stream
        WHEN 'recurrence' THEN type = 'task.completed' AND data -> 'is_recurring' = 'true'
        WHEN 'notification' THEN type = 'reminder.triggered'
        WHEN 'reminder' THEN CASE type
            WHEN 'task.updated' THEN data -> 'changed_fields' ?| ARRAY['due_date', 'completed']
            ELSE type IN ('task.created', 'task.completed', 'task.deleted') AND data ->> 'due_date' IS NOT NULL
        END
    END;
