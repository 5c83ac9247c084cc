SET lock_timeout = '2s';
SET statement_timeout = 0;

DROP FUNCTION service_overview(integer), list_lanes(boolean, integer), read_lane(text), lane_json(publish_queue);
DROP FUNCTION resolve_dead_letter(uuid, text, integer), list_dead_letters(boolean, timestamptz, uuid, integer, integer);
DROP FUNCTION read_dead_letter(uuid, integer), dead_letter_json(dead_letters, integer);
