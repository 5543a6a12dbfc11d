-- Deliveries ($1), and the states of chunks ($2) and of those that hold these deliveries: only a chunk's row has states.
-- $3 and $4 are bounds of all ids, as a chunk and its deliveries have ids of one notification.
-- A lateral look-up uses the index whatever the statistics say, which trail far behind tables that grow fast.
WITH found AS MATERIALIZED (
    SELECT d.* FROM unnest($1::bytea[]) AS w (id),
        LATERAL (SELECT * FROM deliveries WHERE deliveries.id = w.id AND deliveries.id BETWEEN $3 AND $4 OFFSET 0) AS d
), wanted AS (
    SELECT chunk_id FROM found WHERE chunk_id IS NOT NULL UNION SELECT unnest($2::bytea[])
)
SELECT id, tenant, user_id, channel, address, state, reason, detail, attempt, repeats, provider, vendor,
    vendor_message_id, planned_ms, started_ms, finished_ms, retry_ms, accepted_attempt, accepted_ms, chunk_id,
    chunk_index, step, profile_id, setting, NULL AS states, NULL AS reasons, NULL AS intents
FROM found
UNION ALL
SELECT c.chunk_id, c.tenant, NULL, c.channel, NULL, NULL, NULL, NULL, NULL, NULL, c.provider, c.vendor,
    NULL, NULL, NULL, c.finished_ms, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, c.states, c.reasons, c.intents
FROM wanted AS w, LATERAL (SELECT * FROM chunk_states WHERE chunk_states.chunk_id = w.chunk_id
    AND chunk_states.chunk_id BETWEEN $3 AND $4 OFFSET 0) AS c
