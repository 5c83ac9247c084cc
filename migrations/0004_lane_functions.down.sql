DROP FUNCTION acknowledge_lane(text, uuid, bigint, bigint, boolean, boolean, bigint);
DROP FUNCTION take_lane(text, uuid, bigint);
DROP FUNCTION lane_to_publish(lanes, uuid, bigint);
DROP FUNCTION append_event(uuid, text, text, uuid, text, text, uuid, text, text, jsonb);
DROP FUNCTION lease_length();
