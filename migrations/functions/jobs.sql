-- The breaker of the Jobs API of a sidecar, of the same kind as the publisher's. No row is a closed one.

-- A call failed: nobody calls for 1 s. One that is open already stays as it is: calls that were under way when it opened
-- say nothing new, unless the call was the probe.
CREATE OR REPLACE FUNCTION jobs_failed(sidecar text, probe boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_breakers AS breaker (sidecar, failures, retry_at)
    VALUES (jobs_failed.sidecar, 1, clock_timestamp() + interval '1 second')
    ON CONFLICT ON CONSTRAINT jobs_breakers_pkey DO UPDATE SET
        failures = breaker.failures + 1,
        retry_at = clock_timestamp() + least(30, 2 ^ least(breaker.failures, 5)) * interval '1 second'
    WHERE jobs_failed.probe OR breaker.failures = 0;
    RETURN 'null';
END $$;

CREATE OR REPLACE FUNCTION jobs_reached(sidecar text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs_breakers AS breaker SET failures = 0 WHERE breaker.sidecar = jobs_reached.sidecar AND failures > 0;
    RETURN 'null';
END $$;

-- Whether the relay may call now: `call`, `probe` (one call, whose outcome decides; given to one caller at a time) or
-- `wait`.
CREATE OR REPLACE FUNCTION may_call_jobs(sidecar text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs_breakers AS breaker SET retry_at = clock_timestamp() + interval '10 seconds'
    WHERE breaker.sidecar = may_call_jobs.sidecar AND failures > 0 AND retry_at <= clock_timestamp();
    IF FOUND THEN
        RETURN '"probe"';
    END IF;
    RETURN to_jsonb(CASE WHEN jobs_reachable(may_call_jobs.sidecar) THEN 'call' ELSE 'wait' END);
END $$;

-- Whether the breaker is closed.
CREATE OR REPLACE FUNCTION jobs_reachable(sidecar text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM jobs_breakers AS breaker WHERE breaker.sidecar = jobs_reachable.sidecar AND failures > 0
    );
END $$;
