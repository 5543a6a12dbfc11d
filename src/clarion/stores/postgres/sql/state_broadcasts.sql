-- Of the in-app broadcasts `{spans}` of a tenant ($1), the chunk of an ordinal ($2), if there is one and its delivery has one of
-- the states $3, with the sequence and time of its last arrival.
SELECT s.broadcast_id, s.last_seq, f.place, f.planned_ms, f.content, f.addresses, f.users, f.category, f.expires_ms, f.seq,
    f.late_seq, f.late_ms
FROM (
    {spans}
) AS s
LEFT JOIN LATERAL (
    SELECT p.place, c.planned_ms, c.content, c.addresses, c.users, c.category, c.expires_ms, h.seq,
        a.seq AS late_seq, a.at_ms AS late_ms
    FROM chunk_spans AS h JOIN chunks AS c USING (chunk_id, tenant) JOIN chunk_states AS t USING (chunk_id, tenant)
    CROSS JOIN LATERAL (SELECT ordinal_index(c.ordinals, $2) AS place OFFSET 0) AS p
    LEFT JOIN LATERAL (
        SELECT l.seq, l.at_ms FROM chunk_arrivals AS l WHERE l.chunk_id = h.chunk_id AND l.tenant = $1
            AND p.place IS NOT NULL AND get_byte(l.members, p.place) <> 0
        ORDER BY l.seq DESC LIMIT 1
    ) AS a ON true
    WHERE h.tenant = $1 AND h.broadcast_id = s.broadcast_id AND h.channel = 'inapp'
        AND h.min_ordinal BETWEEN $2 - s.widest AND $2 AND h.max_ordinal >= $2
        AND p.place IS NOT NULL AND get_byte(t.states, p.place) = ANY ($3::integer[])
    LIMIT 1
) AS f ON true
ORDER BY s.last_seq DESC
