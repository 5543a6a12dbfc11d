-- The newest in-app broadcasts of a tenant ($1) up to an id ($2) whose range holds an ordinal ($3), $4 at most, each with
-- the chunk of the ordinal, if there is one and its delivery has one of the states $5.
SELECT s.broadcast_id, f.place, f.planned_ms, f.content, f.addresses, f.users
FROM (
    SELECT broadcast_id, widest FROM broadcast_spans
    WHERE tenant = $1 AND channel = 'inapp' AND broadcast_id <= $2 AND min_ordinal <= $3 AND max_ordinal >= $3
    ORDER BY broadcast_id DESC LIMIT $4
) AS s
LEFT JOIN LATERAL (
    SELECT p.place, c.planned_ms, c.content, c.addresses, c.users
    FROM chunk_spans AS h JOIN chunks AS c USING (chunk_id, tenant) JOIN chunk_states AS t USING (chunk_id, tenant)
    CROSS JOIN LATERAL (SELECT ordinal_index(c.ordinals, $3) AS place OFFSET 0) AS p
    WHERE h.tenant = $1 AND h.broadcast_id = s.broadcast_id AND h.channel = 'inapp'
        AND h.min_ordinal BETWEEN $3 - s.widest AND $3 AND h.max_ordinal >= $3
        AND p.place IS NOT NULL AND get_byte(t.states, p.place) = ANY ($5::integer[])
    LIMIT 1
) AS f ON true
ORDER BY s.broadcast_id DESC
