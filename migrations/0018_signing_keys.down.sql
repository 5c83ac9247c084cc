SET lock_timeout = '2s';
SET statement_timeout = 0;

DROP FUNCTION read_signing_keys(text, integer), ask_signing_keys(text, integer), keep_signing_keys(text, jsonb);
DROP TABLE signing_keys;
