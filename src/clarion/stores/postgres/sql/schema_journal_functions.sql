-- Functions of the journal except `commit_steps`. Locks are always taken in this order: cancellations, leases, streams by topic and
-- partition, idempotency keys by tenant and key, markers; so no two commits wait for each other.

-- The time by which leases expire: the server's. A caller may give another one, as tests do.
CREATE FUNCTION journal.lease_time(p_at bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(p_at, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
$$;

-- Lock streams until the end of the transaction, creating missing ones.
CREATE FUNCTION journal.lock_streams(p_topic text[], p_partition integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal.streams (topic, partition)
        SELECT DISTINCT a.topic COLLATE "C", a.partition FROM unnest(p_topic, p_partition) a (topic, partition)
        WHERE NOT EXISTS (SELECT 1 FROM journal.streams s WHERE s.topic = a.topic AND s.partition = a.partition)
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING;
    PERFORM 1 FROM journal.streams s
        WHERE (s.topic, s.partition) IN (SELECT a.topic, a.partition FROM unnest(p_topic, p_partition) a (topic, partition))
        ORDER BY s.topic, s.partition FOR UPDATE;
END $$;

-- Append frames in their order to streams that are locked and return their offsets. Times never decrease within a stream.
CREATE FUNCTION journal.append_locked(
    p_topic text[], p_partition integer[], p_count integer[], p_payload bytea[], p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    offsets bigint[];
BEGIN
    WITH new AS (
        SELECT s.stream_id, a.ord, a.count, a.payload, greatest(s.appended_ms, p_now) AS appended_ms,
            s.head + row_number() OVER run AS "offset", s.total + sum(a.count) OVER run AS total
        FROM unnest(p_topic, p_partition, p_count, p_payload) WITH ORDINALITY a (topic, partition, count, payload, ord)
        JOIN journal.streams s ON s.topic = a.topic AND s.partition = a.partition
        WINDOW run AS (PARTITION BY s.stream_id ORDER BY a.ord)
    ), stored AS (
        INSERT INTO journal.frames (stream_id, "offset", appended_ms, count, total, payload)
        SELECT stream_id, "offset", appended_ms, count, total, payload FROM new
    ), moved AS (
        UPDATE journal.streams s SET head = h.head, total = h.total, appended_ms = h.appended_ms
        FROM (SELECT stream_id, max("offset") AS head, max(total) AS total, max(appended_ms) AS appended_ms
            FROM new GROUP BY stream_id) h
        WHERE s.stream_id = h.stream_id
    )
    SELECT array_agg("offset" ORDER BY ord) INTO offsets FROM new;
    RETURN offsets;
END $$;

-- Lock streams, append frames in their order and return their offsets.
CREATE FUNCTION journal.append(
    p_topic text[], p_partition integer[], p_count integer[], p_payload bytea[], p_now bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
    PERFORM journal.lock_streams(p_topic, p_partition);
    RETURN journal.append_locked(p_topic, p_partition, p_count, p_payload, p_now);
END $$;

-- Count a change of each marker.
CREATE FUNCTION journal.mark(p_markers text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM journal.lock_streams(p_markers, array_fill(0, ARRAY[cardinality(p_markers)]));
    UPDATE journal.streams SET head = head + 1 WHERE topic = ANY (p_markers) AND partition = 0;
END $$;

-- Wake the listeners of all processes and return [[topic, partition, head], ...] of the streams named. A payload has
-- at most 8000 bytes; a longer one names no streams. Commits that notify take turns: the server holds one lock of the database from
-- then until they are durable.
CREATE FUNCTION journal.wake(p_origin text, p_topic text[], p_partition integer[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    grown jsonb;
    message text;
BEGIN
    SELECT jsonb_agg(jsonb_build_array(topic, partition, head)) INTO grown FROM journal.streams
        WHERE (topic, partition) IN (SELECT a.topic, a.partition FROM unnest(p_topic, p_partition) a (topic, partition));
    IF grown IS NULL THEN
        RETURN '[]';
    END IF;
    message := jsonb_build_object('origin', p_origin, 'grown', grown)::text;
    IF octet_length(message) >= 8000 THEN
        message := jsonb_build_object('origin', p_origin)::text;
    END IF;
    PERFORM pg_notify('clarion_journal', message);
    RETURN grown;
END $$;

-- Acquire a lease that is free, expired or the owner's own and return its fence; NULL while another owner holds it. Waits for
-- commits under the lease that are under way. A lease that would run too long is from before a restart of the clock.
CREATE FUNCTION journal.acquire(
    p_group text, p_partition integer, p_owner text, p_ttl bigint, p_at bigint, p_ttl_max bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    at_ms bigint := journal.lease_time(p_at);
    given bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1129070931, hashtext(p_group || '/' || p_partition));
    at_ms := journal.lease_time(p_at);
    INSERT INTO journal.leases AS l ("group", partition, owner, fence, expires_ms)
        VALUES (p_group, p_partition, p_owner, 1, at_ms + p_ttl)
        ON CONFLICT ("group", partition) DO UPDATE
        SET owner = excluded.owner, fence = l.fence + 1, expires_ms = excluded.expires_ms
        WHERE l.owner = excluded.owner OR l.expires_ms <= at_ms OR l.expires_ms > at_ms + p_ttl_max
        RETURNING fence INTO given;
    RETURN given;
END $$;

-- Move due timers to their streams, the most urgent first; return their number and the streams that grew.
CREATE FUNCTION journal.fire(p_origin text, p_now bigint, p_limit integer, p_written bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    topics text[];
    partitions integer[];
    payloads bytea[];
BEGIN
    PERFORM pg_advisory_xact_lock(1129070932, 0);
    WITH due AS (
        SELECT timer_id, urgency, due_ms, sequence FROM journal.timers
        WHERE due_ms <= p_now ORDER BY urgency, due_ms, sequence LIMIT p_limit
    ), gone AS (
        DELETE FROM journal.timers t USING due WHERE t.timer_id = due.timer_id
        RETURNING t.topic, t.partition, t.payload, t.urgency, t.due_ms, t.sequence
    )
    SELECT array_agg(topic ORDER BY urgency, due_ms, sequence), array_agg(partition ORDER BY urgency, due_ms, sequence),
        array_agg(payload ORDER BY urgency, due_ms, sequence) INTO topics, partitions, payloads FROM gone;
    IF topics IS NULL THEN
        RETURN '{"fired": 0, "grown": []}';
    END IF;
    PERFORM journal.append(topics, partitions, array_fill(1, ARRAY[cardinality(topics)]), payloads, p_written);
    RETURN jsonb_build_object('fired', cardinality(topics), 'grown', journal.wake(p_origin, topics, partitions))::text;
END $$;

-- Change a cursor's status if it is one of those allowed; return the markers that grew, NULL if it was not changed.
CREATE FUNCTION journal.set_cursor_status(
    p_origin text, p_cursor bytea, p_status text, p_allowed text[], p_now bigint
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE journal.cursors SET status = p_status, updated_ms = p_now
        WHERE cursor_id = p_cursor AND status = ANY (p_allowed);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM journal.mark(ARRAY['cursors']);
    RETURN journal.wake(p_origin, ARRAY['cursors'], ARRAY[0])::text;
END $$;

-- Return the offset of the first frame of a stream appended at or after a time, or the offset after its newest frame: a binary search,
-- as offsets have no gaps and times never decrease.
CREATE FUNCTION journal.first_since(p_topic text, p_partition integer, p_ms bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    id integer;
    low bigint;
    high bigint;
    middle bigint;
    middle_ms bigint;
BEGIN
    SELECT stream_id, trimmed_offset + 1, head + 1 INTO id, low, high FROM journal.streams
        WHERE topic = p_topic AND partition = p_partition;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT appended_ms INTO middle_ms FROM journal.frames WHERE stream_id = id AND "offset" = middle;
        IF middle_ms < p_ms THEN
            low := middle + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END $$;

-- Delete up to `p_room` frames older than a time that every group with a commit on their stream has committed; return their number.
CREATE FUNCTION journal.trim_frames(p_older bigint, p_room integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    room integer := p_room;
    one record;
    start bigint;
    last bigint;
    last_total bigint;
BEGIN
    FOR one IN
        SELECT s.stream_id, min(c."offset") AS floor FROM journal.streams s JOIN journal.commits c USING (topic, partition)
        WHERE s.trimmed_offset < s.head
        GROUP BY s.stream_id, s.topic, s.partition, s.trimmed_offset HAVING min(c."offset") > s.trimmed_offset
        ORDER BY s.topic, s.partition
    LOOP
        SELECT trimmed_offset INTO start FROM journal.streams WHERE stream_id = one.stream_id FOR UPDATE;
        SELECT f."offset", f.total INTO last, last_total FROM (
            SELECT "offset", total, appended_ms FROM journal.frames
            WHERE stream_id = one.stream_id AND "offset" > start AND "offset" <= one.floor ORDER BY "offset" LIMIT room
        ) f WHERE f.appended_ms < p_older ORDER BY f."offset" DESC LIMIT 1;
        CONTINUE WHEN last IS NULL;
        DELETE FROM journal.frames WHERE stream_id = one.stream_id AND "offset" <= last;
        UPDATE journal.streams SET trimmed_offset = last, trimmed_total = last_total WHERE stream_id = one.stream_id;
        room := room - (last - start)::integer;
        EXIT WHEN room = 0;
    END LOOP;
    RETURN p_room - room;
END $$;

-- Delete up to `p_room` each of expired idempotency entries and waits, and of cancellations older than a time whose subject has no timer;
-- return their number.
CREATE FUNCTION journal.trim_entries(p_cancelled_before bigint, p_now bigint, p_room integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    gone integer;
    number integer := 0;
BEGIN
    DELETE FROM journal.idempotency i USING (
        SELECT tenant, key FROM journal.idempotency WHERE expires_ms <= p_now LIMIT p_room FOR UPDATE SKIP LOCKED
    ) old WHERE i.tenant = old.tenant AND i.key = old.key;
    GET DIAGNOSTICS gone = ROW_COUNT;
    number := number + gone;
    DELETE FROM journal.waits w USING (
        SELECT tenant, key, subject FROM journal.waits WHERE expires_ms <= p_now LIMIT p_room FOR UPDATE SKIP LOCKED
    ) old WHERE w.tenant = old.tenant AND w.key = old.key AND w.subject = old.subject;
    GET DIAGNOSTICS gone = ROW_COUNT;
    number := number + gone;
    DELETE FROM journal.cancellations c USING (
        SELECT sequence FROM journal.cancellations c
        WHERE at_ms < p_cancelled_before
        AND NOT EXISTS (SELECT 1 FROM journal.timers t WHERE t.timer_id = c.subject_id)
        LIMIT p_room FOR UPDATE SKIP LOCKED
    ) old WHERE c.sequence = old.sequence;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN number + gone;
END $$;

-- Return the answer of a writer's commit if it took effect. Otherwise give its number up, so that it cannot take effect later, and
-- return NULL. Waits for the commit while it is under way.
CREATE FUNCTION journal.outcome(p_writer bytea, p_number bigint, p_now bigint) RETURNS text LANGUAGE sql AS $$
    INSERT INTO journal.writers AS w (writer, number, at_ms) VALUES (p_writer, p_number, p_now)
    ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at_ms = excluded.at_ms,
        answer = CASE WHEN w.number = excluded.number THEN w.answer END
    RETURNING answer
$$;
