SET lock_timeout = '2s';
SET statement_timeout = 0;

DROP FUNCTION read_calendar(bytea, jsonb), most_shown(), revoke_calendar(text), replace_calendar(text, bytea);
DROP TABLE calendars;
