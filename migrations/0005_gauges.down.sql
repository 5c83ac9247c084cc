DROP VIEW breaker_gauges;
DROP VIEW service_gauges;
