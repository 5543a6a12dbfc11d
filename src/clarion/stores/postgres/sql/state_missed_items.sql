-- Own items of users ($1 tenants, $2 users) that arrived after one own sequence ($3) and up to another ($4), $5 at most of each: of
-- the newest items, at most as many as the sequence has moved.
SELECT w.nr, i.item_id, i.created_ms, i.content, i.shared_seq, i.own_seq, i.category, i.expires_ms, i.collapse_key
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS w (tenant, user_id, own, last, nr)
CROSS JOIN LATERAL (
    SELECT * FROM inbox_items AS s WHERE s.tenant = w.tenant AND s.user_id = w.user_id AND s.own_seq <= w.last
    ORDER BY s.shared_seq DESC, s.own_seq DESC LIMIT least($5, w.last - w.own)
) AS i WHERE i.own_seq > w.own
