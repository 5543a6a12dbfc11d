-- Events that each group has not committed: by running totals, not by counting frames. $1 to $3 are the streams that groups read, $4 the
-- groups, which may have committed others, too.
WITH keys AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::integer[]) a ("group", topic, partition)
    UNION
    SELECT "group", topic, partition FROM journal.commits WHERE "group" = ANY ($4::text[])
)
SELECT k."group", sum(s.total - coalesce(f.total, s.trimmed_total))::bigint
FROM keys k
JOIN journal.streams s ON s.topic = k.topic AND s.partition = k.partition
LEFT JOIN journal.commits c ON c."group" = k."group" AND c.topic = k.topic AND c.partition = k.partition
LEFT JOIN journal.frames f ON f.stream_id = s.stream_id AND f."offset" = c."offset"
WHERE coalesce(c."offset", 0) < s.head
GROUP BY k."group"
