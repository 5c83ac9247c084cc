SET lock_timeout = '2s';
SET statement_timeout = 0;

ALTER TABLE tasks DROP COLUMN of_the_next_version;

DROP TABLE of_the_next_version;
