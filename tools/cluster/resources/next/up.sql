-- A migration as the next version might have it. Its second statement waits for a lock.
SET lock_timeout = '2s';
SET statement_timeout = 0;

CREATE TABLE of_the_next_version (id integer);

ALTER TABLE tasks ADD COLUMN of_the_next_version integer;
