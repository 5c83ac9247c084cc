-- What monitoring reads, on Kubernetes through CloudNativePG's exporter. The views read the tables with their owner's
-- rights, so that monitoring sees numbers and nothing else. All is served by partial indexes and small tables; events are
-- looked up by key, one for each lane that has something left to publish.

CREATE VIEW service_gauges AS
SELECT
    behind.events AS unpublished_events,
    coalesce(extract(epoch FROM clock_timestamp() - behind.oldest), 0)::float8 AS oldest_unpublished_seconds,
    behind.blocked AS blocked_lanes,
    overdue.reminders AS overdue_reminders,
    coalesce(extract(epoch FROM clock_timestamp() - overdue.oldest), 0)::float8 AS oldest_overdue_seconds,
    pending.letters AS open_dead_letters,
    coalesce(extract(epoch FROM clock_timestamp() - pending.oldest), 0)::float8 AS oldest_open_dead_letter_seconds,
    pending.letters + resolved.letters AS stored_dead_letters
FROM
    (
        SELECT
            coalesce(sum(lane.head - lane.published), 0)::bigint AS events,
            min(next.time) AS oldest,
            count(*) FILTER (WHERE lane.blocked_until > clock_timestamp()) AS blocked
        FROM lanes AS lane
            LEFT JOIN events AS next ON next.user_id = lane.user_id AND next.sequence = lane.published + 1
        WHERE lane.published < lane.head
    ) AS behind,
    -- As the sweep counts them: the reminder of a task that is not open any more is about to be cancelled.
    (
        SELECT count(*) AS reminders, min(reminder.remind_at) AS oldest
        FROM reminders AS reminder JOIN tasks AS task ON task.id = reminder.task_id
        WHERE reminder.status = 'scheduled' AND reminder.remind_at <= clock_timestamp() AND NOT task.completed
    ) AS overdue,
    (
        SELECT count(*) AS letters, min(first_received_at) AS oldest FROM dead_letters WHERE status = 'open'
    ) AS pending,
    (SELECT count(*) AS letters FROM dead_letters WHERE status <> 'open') AS resolved;

-- How many sidecars have an open breaker. The row of a pod that is gone stays open, but is probed no more.
CREATE VIEW breaker_gauges AS
SELECT
    dependency,
    (
        SELECT count(*)
        FROM publish_breaker AS breaker
        WHERE breaker.dependency = each.dependency
            AND breaker.failures > 0
            AND breaker.probe_at > clock_timestamp() - interval '10 minutes'
    ) AS open
FROM (VALUES ('pubsub'), ('jobs')) AS each (dependency);

GRANT SELECT ON service_gauges, breaker_gauges TO pg_monitor;
