DROP FUNCTION notification_json(notifications);
DROP INDEX idempotency_keys_by_time;
DROP INDEX processed_events_by_time;
DROP INDEX events_by_time;
DROP TABLE analytics_daily;
DROP TABLE dead_letters;
DROP TABLE notifications;
DROP TABLE reminders;
