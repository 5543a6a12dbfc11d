-- Up to $4 frames after each place, fewer when they are larger than $5 bytes together, but at least one. The size of a large frame is
-- known without reading it.
SELECT p.place, f."offset", f.count, f.appended_ms, f.payload
FROM unnest($1::text[], $2::integer[], $3::bigint[]) WITH ORDINALITY p (topic, partition, after, place)
JOIN journal.streams s ON s.topic = p.topic AND s.partition = p.partition
CROSS JOIN LATERAL (
    SELECT r."offset", r.count, r.appended_ms, r.payload,
        sum(octet_length(r.payload)) OVER (ORDER BY r."offset") AS size, row_number() OVER (ORDER BY r."offset") AS number
    FROM (
        SELECT "offset", count, appended_ms, payload FROM journal.frames
        WHERE stream_id = s.stream_id AND "offset" > p.after ORDER BY "offset" LIMIT $4
    ) r
) f
WHERE f.number = 1 OR f.size <= $5
ORDER BY p.place, f."offset"
