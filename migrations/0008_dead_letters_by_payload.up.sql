-- Positions of a topic are used again when it is made anew, restored or mirrored: one row for each position and payload.
--
-- The version before names the old key in its statement. While a rollout mixes both, its attempts fail; the sidecar
-- delivers those letters again until the new version takes them.

SET lock_timeout = '2s';
SET statement_timeout = 0;

ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_topic_kafka_partition_kafka_offset_key;

CREATE UNIQUE INDEX dead_letters_by_record
    ON dead_letters (topic, kafka_partition, kafka_offset, sha256(payload));

-- Records a dead letter, or counts one that is recorded. Tells its id, how often it came, and whether it is open now and
-- was not before: new, or come again after somebody had dealt with it.
CREATE FUNCTION record_dead_letter(
    id uuid,
    topic text,
    kafka_partition integer,
    kafka_offset bigint,
    payload bytea,
    event_id text,
    event_type text,
    user_id text
) RETURNS jsonb
    LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    was text;
    letter dead_letters;
BEGIN
    SELECT known.status INTO was
    FROM dead_letters AS known
    WHERE known.topic = record_dead_letter.topic
        AND known.kafka_partition = record_dead_letter.kafka_partition
        AND known.kafka_offset = record_dead_letter.kafka_offset
        AND sha256(known.payload) = sha256(record_dead_letter.payload)
    FOR UPDATE;

    INSERT INTO dead_letters AS known
        (id, topic, kafka_partition, kafka_offset, payload, event_id, event_type, user_id)
    VALUES (
        record_dead_letter.id, record_dead_letter.topic, record_dead_letter.kafka_partition,
        record_dead_letter.kafka_offset, record_dead_letter.payload, record_dead_letter.event_id,
        record_dead_letter.event_type, record_dead_letter.user_id
    )
    ON CONFLICT (topic, kafka_partition, kafka_offset, sha256(payload)) DO UPDATE SET
        deliveries = known.deliveries + 1,
        last_received_at = clock_timestamp(),
        status = 'open',
        resolved_at = NULL
    RETURNING known.* INTO letter;

    RETURN jsonb_build_object(
        'id', letter.id,
        'deliveries', letter.deliveries,
        'opened', letter.deliveries = 1 OR coalesce(was <> 'open', false)
    );
END
$$;
