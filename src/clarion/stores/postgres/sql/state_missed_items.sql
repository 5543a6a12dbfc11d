-- Own items of users ($1 tenants, $2 users) that arrived after a shared and an own sequence ($3, $4), $5 at most of each. An own
-- item that arrives after a position has at least its shared sequence.
SELECT w.nr, i.item_id, i.created_ms, i.content, i.shared_seq, i.own_seq, i.category, i.expires_ms, i.collapse_key
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS w (tenant, user_id, shared, own, nr)
CROSS JOIN LATERAL (
    SELECT * FROM inbox_items AS s WHERE s.tenant = w.tenant AND s.user_id = w.user_id AND s.shared_seq >= w.shared
        AND s.own_seq > w.own ORDER BY s.shared_seq, s.own_seq LIMIT $5
) AS i
