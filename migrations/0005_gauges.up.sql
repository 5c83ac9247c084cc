-- What monitoring reads, on Kubernetes through CloudNativePG's exporter. The views read the tables with their owner's
-- rights, so that monitoring sees numbers and nothing else. All is served by partial indexes and small tables. Events and
-- tasks are looked up by key, one for each lane or reminder that waits: as subqueries, since a join whose other side is
-- estimated wrong would read the whole table.

CREATE VIEW service_gauges AS
SELECT
    behind.events AS unpublished_events,
    coalesce(extract(epoch FROM now() - behind.oldest), 0)::float8 AS oldest_unpublished_seconds,
    behind.blocked AS blocked_lanes,
    overdue.reminders AS overdue_reminders,
    coalesce(extract(epoch FROM now() - overdue.oldest), 0)::float8 AS oldest_overdue_seconds,
    pending.letters AS open_dead_letters,
    coalesce(extract(epoch FROM now() - pending.oldest), 0)::float8 AS oldest_open_dead_letter_seconds
FROM
    (
        SELECT
            coalesce(sum(lane.head - lane.published), 0)::bigint AS events,
            min((
                SELECT next.time FROM events AS next
                WHERE next.user_id = lane.user_id AND next.sequence = lane.published + 1
            )) AS oldest,
            count(*) FILTER (WHERE lane.blocked_until > now()) AS blocked
        FROM lanes AS lane
        WHERE lane.published < lane.head
    ) AS behind,
    -- As the sweep counts them: the reminder of a task that is not open any more is about to be cancelled.
    (
        SELECT count(*) AS reminders, min(reminder.remind_at) AS oldest
        FROM reminders AS reminder
        WHERE reminder.status = 'scheduled'
            AND reminder.remind_at <= now()
            AND (SELECT NOT task.completed FROM tasks AS task WHERE task.id = reminder.task_id)
    ) AS overdue,
    (
        SELECT count(*) AS letters, min(first_received_at) AS oldest FROM dead_letters WHERE status = 'open'
    ) AS pending;

-- How many sidecars have an open breaker. The row of a pod that is gone stays open, but is probed no more.
CREATE VIEW breaker_gauges AS
SELECT
    dependency,
    (
        SELECT count(*)
        FROM publish_breaker AS breaker
        WHERE breaker.dependency = each.dependency
            AND breaker.failures > 0
            AND breaker.probe_at > now() - interval '10 minutes'
    ) AS open
FROM (VALUES ('pubsub'), ('jobs')) AS each (dependency);

GRANT SELECT ON service_gauges, breaker_gauges TO pg_monitor;
