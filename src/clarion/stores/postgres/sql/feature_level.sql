-- Which processes are at work, and up to which feature level each reads. The level of the store is in `journal.meta`; without a row it
-- is 0. It is raised in one place, under the lock of its row, and never lowered.
CREATE TABLE journal.processes (
    process text COLLATE "C" PRIMARY KEY,
    level integer NOT NULL,
    expires_ms bigint NOT NULL
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON journal.processes TO clarion_api, clarion_worker;

-- Enroll a process unless it reads less than what may be written, and return the level of the store.
CREATE FUNCTION journal.enroll(
    p_process text, p_level integer, p_ttl bigint, p_at bigint, p_enrolled_max bigint, p_ttl_max bigint
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at_ms bigint;
    stored bigint;
BEGIN
    INSERT INTO journal.meta (name, value) VALUES ('feature_level', 0) ON CONFLICT DO NOTHING;
    SELECT value INTO stored FROM journal.meta WHERE name = 'feature_level' FOR UPDATE;
    IF stored > p_level THEN
        RETURN stored;
    END IF;
    at_ms := journal.lease_time(p_at);
    DELETE FROM journal.processes WHERE expires_ms <= at_ms OR expires_ms > at_ms + p_enrolled_max;
    INSERT INTO journal.processes (process, level, expires_ms) VALUES (p_process, p_level, at_ms + p_ttl)
        ON CONFLICT (process) DO UPDATE SET level = excluded.level, expires_ms = excluded.expires_ms;
    IF NOT EXISTS (
        SELECT 1 FROM journal.leases l WHERE l.expires_ms > at_ms AND l.expires_ms <= at_ms + p_ttl_max
        AND NOT EXISTS (SELECT 1 FROM journal.processes p WHERE p.process = l.owner)
    ) THEN
        stored := greatest(stored, (SELECT min(level) FROM journal.processes));
        UPDATE journal.meta SET value = stored WHERE name = 'feature_level' AND value < stored;
    END IF;
    RETURN stored;
END $$;
REVOKE EXECUTE ON FUNCTION journal.enroll FROM PUBLIC;
GRANT EXECUTE ON FUNCTION journal.enroll TO clarion_api, clarion_worker;
