-- In-app broadcasts of tenants ($1) that arrived after a shared sequence ($4) and whose range holds an ordinal ($2), $5 at most of
-- each user, with the chunk of the ordinal, if there is one and its delivery has one of the states $3.
SELECT w.nr, s.broadcast_id, f.place, f.planned_ms, f.content, f.addresses, f.users, f.category, f.expires_ms, f.seq,
    f.late_seq, f.late_ms
FROM unnest($1::text[], $2::bigint[], $4::bigint[]) WITH ORDINALITY AS w (tenant, ordinal, shared, nr)
CROSS JOIN LATERAL (
    SELECT b.broadcast_id, b.widest FROM broadcast_spans AS b WHERE b.tenant = w.tenant AND b.channel = 'inapp'
        AND b.last_seq > w.shared AND b.min_ordinal <= w.ordinal AND b.max_ordinal >= w.ordinal LIMIT $5
) AS s
LEFT JOIN LATERAL (
    SELECT p.place, c.planned_ms, c.content, c.addresses, c.users, c.category, c.expires_ms, h.seq,
        a.seq AS late_seq, a.at_ms AS late_ms
    FROM chunk_spans AS h JOIN chunks AS c USING (chunk_id, tenant) JOIN chunk_states AS t USING (chunk_id, tenant)
    CROSS JOIN LATERAL (SELECT ordinal_index(c.ordinals, w.ordinal) AS place OFFSET 0) AS p
    LEFT JOIN LATERAL (
        SELECT l.seq, l.at_ms FROM chunk_arrivals AS l WHERE l.chunk_id = h.chunk_id AND l.tenant = w.tenant
            AND p.place IS NOT NULL AND get_byte(l.members, p.place) <> 0
        ORDER BY l.seq DESC LIMIT 1
    ) AS a ON true
    WHERE h.tenant = w.tenant AND h.broadcast_id = s.broadcast_id AND h.channel = 'inapp'
        AND h.min_ordinal BETWEEN w.ordinal - s.widest AND w.ordinal AND h.max_ordinal >= w.ordinal
        AND p.place IS NOT NULL AND get_byte(t.states, p.place) = ANY ($3::integer[])
    LIMIT 1
) AS f ON true
