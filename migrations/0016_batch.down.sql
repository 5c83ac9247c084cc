SET lock_timeout = '2s';
SET statement_timeout = 0;

DROP FUNCTION change_tasks(text, jsonb, jsonb);
