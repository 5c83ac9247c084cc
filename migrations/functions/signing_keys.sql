-- The keys that issuers of tokens publish, as they were fetched last: an instance remembers nothing from one request to the
-- next. Each issuer is asked by one instance at a time, and not too often.

-- What is known of an issuer: its keys, how old they are in seconds, and whether it may be asked again by now; NULL where it was
-- never asked.
CREATE OR REPLACE FUNCTION read_signing_keys(address text, patience integer) RETURNS json LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT json_build_object(
            'keys', known.keys,
            'age', extract(epoch FROM clock_timestamp() - known.fetched_at)::bigint,
            'may_ask', known.asked_at <= clock_timestamp() - patience * interval '1 second'
        )
        FROM signing_keys AS known
        WHERE known.address = read_signing_keys.address
    );
END $$;

-- Whether the caller is to ask the issuer now; nobody else is for the next seconds.
CREATE OR REPLACE FUNCTION ask_signing_keys(address text, patience integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signing_keys AS known (address, asked_at) VALUES (ask_signing_keys.address, clock_timestamp())
    ON CONFLICT ON CONSTRAINT signing_keys_pkey DO UPDATE SET asked_at = excluded.asked_at
    WHERE known.asked_at <= clock_timestamp() - patience * interval '1 second';
    RETURN FOUND;
END $$;

-- Keeps what the issuer answered.
CREATE OR REPLACE FUNCTION keep_signing_keys(address text, keys jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE signing_keys AS known SET keys = keep_signing_keys.keys, fetched_at = clock_timestamp()
    WHERE known.address = keep_signing_keys.address;
    RETURN FOUND;
END $$;
