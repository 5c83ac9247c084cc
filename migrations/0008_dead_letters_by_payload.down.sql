SET lock_timeout = '2s';
SET statement_timeout = 0;

DROP FUNCTION record_dead_letter(uuid, text, integer, bigint, bytea, text, text, text);
DROP INDEX dead_letters_by_record;

-- Of the letters of one position the one that came last stays.
DELETE FROM dead_letters AS letter
USING dead_letters AS other
WHERE (other.topic, other.kafka_partition, other.kafka_offset)
        = (letter.topic, letter.kafka_partition, letter.kafka_offset)
    AND (other.last_received_at, other.id) > (letter.last_received_at, letter.id);

ALTER TABLE dead_letters ADD UNIQUE (topic, kafka_partition, kafka_offset);
