-- What one fold writes, as rows. A type is never changed: a later release adds a type and a function of its own, so that
-- this release goes on with the newer schema.

CREATE TYPE fold_advance AS (partition integer, from_offset bigint, "offset" bigint, fence bigint, numbers bytea);
CREATE TYPE fold_notification AS (
    tenant text, id bytea, accepted_ms bigint, planned_ms bigint, scheduled_ms bigint, lane text, category text,
    template text, request bytea
);
CREATE TYPE fold_request_facts AS (digest bytea, facts bytea);
CREATE TYPE fold_delivery AS (
    id bytea, tenant text, user_id text, channel text, address text, state smallint, reason smallint, detail text,
    attempt integer, repeats integer, provider text, vendor text, vendor_message_id text, planned_ms bigint,
    started_ms bigint, finished_ms bigint, retry_ms bigint, accepted_attempt integer, accepted_ms bigint, chunk_id bytea,
    chunk_index integer, step text, profile_id bigint, setting bytea
);
CREATE TYPE fold_vendor_id AS (tenant text, vendor text, vendor_message_id text, delivery_id bytea);
CREATE TYPE fold_attempt AS (
    delivery_id bytea, tenant text, attempt integer, finished_ms bigint, started_ms bigint, event text, outcome text,
    reason smallint, detail text, provider text, vendor text, vendor_message_id text, retry_ms bigint, repeats integer,
    applied boolean
);
CREATE TYPE fold_chunk AS (
    chunk_id bytea, tenant text, channel text, locale text, category text, planned_ms bigint, expires_ms bigint,
    count integer, min_ordinal bigint, max_ordinal bigint, content bytea, data bytea, metadata bytea, ordinals bytea,
    user_ids bytea, addresses bytea, users bytea, broadcast_id bytea
);
CREATE TYPE fold_chunk_state AS (
    chunk_id bytea, tenant text, channel text, states bytea, reasons bytea, intents bytea, provider text, vendor text,
    finished_ms bigint
);
CREATE TYPE fold_total AS (
    tenant text, broadcast_id bytea, channel text, state smallint, reason smallint, count bigint
);
CREATE TYPE fold_item AS (tenant text, user_id text, item_id bytea, created_ms bigint, content bytea);
CREATE TYPE fold_capture AS (
    tenant text, delivery_id bytea, attempt integer, user_id text, channel text, address text, provider text,
    captured_ms bigint, content bytea
);
CREATE TYPE fold_replay AS (tenant text, delivery_id bytea, replayed_ms bigint);
CREATE TYPE fold_dead_letter AS (
    tenant text, delivery_id bytea, channel text, user_id text, reason smallint, detail text, attempt integer,
    dead_ms bigint, payload bytea, replayed_ms bigint
);
CREATE TYPE fold_cancellation AS (tenant text, id bytea, at_ms bigint);
CREATE TYPE fold_seen_receipt AS (tenant text, notification_id bytea, user_id text, first_ms bigint, last_ms bigint);
CREATE TYPE fold_instance AS (
    id bytea, tenant text, notification_id bytea, user_id text, workflow text, version bigint, step text, state text,
    started_ms bigint, ended_ms bigint, detail text
);
CREATE TYPE fold_progress AS (instance_id bytea, tenant text, at_ms bigint, step text, event text, detail text);
CREATE TYPE fold_health_change AS (
    tenant text, at_ms bigint, provider text, channel text, vendor text, before text, state text, detail text
);
CREATE TYPE fold_counter AS (
    tenant text, minute_ms bigint, channel text, what text, reason smallint, count bigint
);

-- Moves positions, or raises CLR10 when one is not where the fold began or was written by a newer fence. The rows of the
-- positions stay locked, so that folds of one partition follow one another.
CREATE FUNCTION fold_advance_all(p_advances fold_advance[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
    first integer;
BEGIN
    PERFORM 1 FROM fold_positions WHERE partition IN (SELECT a.partition FROM unnest(p_advances) AS a)
        ORDER BY partition FOR UPDATE;
    UPDATE fold_positions AS p SET "offset" = a."offset", fence = a.fence, numbers = a.numbers
        FROM unnest(p_advances) AS a
        WHERE p.partition = a.partition AND p."offset" = a.from_offset AND p.fence <= a.fence;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved < cardinality(p_advances) THEN
        INSERT INTO fold_positions (partition, "offset", fence, numbers)
            SELECT a.partition, a."offset", a.fence, a.numbers FROM unnest(p_advances) AS a
            WHERE a.from_offset = 0 AND a.fence >= 0 ORDER BY a.partition
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS first = ROW_COUNT;
        IF moved + first < cardinality(p_advances) THEN
            RAISE EXCEPTION 'record: a partition was folded further by another worker' USING ERRCODE = 'CLR10';
        END IF;
    END IF;
END $$;

-- Stores receipts that may arrive repeatedly, of each kind at most p_kept for a delivery, and the newest of those that
-- are the same.
CREATE FUNCTION fold_receipts(p_receipts fold_attempt[], p_kept integer) RETURNS void LANGUAGE sql AS $$
    WITH given AS (
        SELECT r.*, a.event IS NULL AND row_number() OVER (
                PARTITION BY r.delivery_id, r.tenant, r.attempt, r.finished_ms, r.event ORDER BY r.nr) = 1 AS is_new
            FROM unnest(p_receipts) WITH ORDINALITY AS r (
                delivery_id, tenant, attempt, finished_ms, started_ms, event, outcome, reason, detail, provider, vendor,
                vendor_message_id, retry_ms, repeats, applied, nr)
            LEFT JOIN LATERAL (
                SELECT event FROM attempts AS a WHERE a.delivery_id = r.delivery_id AND a.tenant = r.tenant
                AND a.attempt = r.attempt AND a.finished_ms = r.finished_ms AND a.event = r.event OFFSET 0) AS a ON true
    ), kinds AS (
        SELECT k.*, (SELECT count(*) FROM attempts AS a
                WHERE a.delivery_id = k.delivery_id AND a.tenant = k.tenant AND a.event = k.event) AS stored
            FROM (SELECT DISTINCT delivery_id, tenant, event FROM given) AS k
    ), counted AS (
        SELECT g.*, k.stored + coalesce(sum(g.is_new::integer) OVER (
                PARTITION BY g.delivery_id, g.tenant, g.event ORDER BY g.nr
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
            FROM given AS g JOIN kinds AS k USING (delivery_id, tenant, event)
    )
    INSERT INTO attempts
        SELECT DISTINCT ON (delivery_id, tenant, attempt, finished_ms, event)
            delivery_id, tenant, attempt, finished_ms, started_ms, event, outcome, reason, detail, provider, vendor,
            vendor_message_id, retry_ms, repeats, applied
        FROM counted WHERE before < p_kept
        ORDER BY delivery_id, tenant, attempt, finished_ms, event, nr DESC
        ON CONFLICT (delivery_id, tenant, attempt, finished_ms, event) DO UPDATE SET
            started_ms = excluded.started_ms, outcome = excluded.outcome, reason = excluded.reason,
            detail = excluded.detail, provider = excluded.provider, vendor = excluded.vendor,
            vendor_message_id = excluded.vendor_message_id, retry_ms = excluded.retry_ms, repeats = excluded.repeats,
            applied = excluded.applied
$$;

CREATE FUNCTION fold_chunks(
    p_chunks fold_chunk[], p_new_chunk_states fold_chunk_state[], p_chunk_states fold_chunk_state[],
    p_totals fold_total[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_chunks IS NOT NULL THEN
        INSERT INTO chunks SELECT
            chunk_id, tenant, channel, locale, category, planned_ms, expires_ms, count, min_ordinal, max_ordinal, content,
            data, metadata, ordinals, user_ids, addresses, users
            FROM unnest(p_chunks) ON CONFLICT DO NOTHING;
        INSERT INTO chunk_spans SELECT tenant, broadcast_id, channel, min_ordinal, chunk_id, max_ordinal
            FROM unnest(p_chunks) ON CONFLICT DO NOTHING;
        INSERT INTO broadcast_spans AS s SELECT tenant, channel, broadcast_id, min(min_ordinal), max(max_ordinal),
                max(max_ordinal - min_ordinal)
            FROM unnest(p_chunks) GROUP BY tenant, channel, broadcast_id ORDER BY tenant, channel, broadcast_id
            ON CONFLICT (tenant, channel, broadcast_id) DO UPDATE SET
            min_ordinal = least(s.min_ordinal, excluded.min_ordinal),
            max_ordinal = greatest(s.max_ordinal, excluded.max_ordinal), widest = greatest(s.widest, excluded.widest);
    END IF;
    IF p_new_chunk_states IS NOT NULL THEN
        INSERT INTO chunk_states SELECT * FROM unnest(p_new_chunk_states);
    END IF;
    IF p_chunk_states IS NOT NULL THEN
        INSERT INTO chunk_states SELECT * FROM unnest(p_chunk_states)
            ON CONFLICT (chunk_id, tenant) DO UPDATE SET
            channel = excluded.channel, states = excluded.states, reasons = excluded.reasons, intents = excluded.intents,
            provider = excluded.provider, vendor = excluded.vendor, finished_ms = excluded.finished_ms;
    END IF;
    IF p_totals IS NOT NULL THEN
        INSERT INTO broadcast_totals AS t SELECT * FROM unnest(p_totals)
            ON CONFLICT (tenant, broadcast_id, channel, state, reason) DO UPDATE SET count = t.count + excluded.count;
    END IF;
END $$;

CREATE FUNCTION fold_deliveries(
    p_new fold_delivery[], p_known fold_delivery[], p_vendor_ids fold_vendor_id[], p_attempts fold_attempt[],
    p_receipts fold_attempt[], p_receipts_kept integer
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_new IS NOT NULL THEN
        INSERT INTO deliveries SELECT * FROM unnest(p_new);
    END IF;
    IF p_known IS NOT NULL THEN
        INSERT INTO deliveries SELECT * FROM unnest(p_known)
            ON CONFLICT (id, tenant) DO UPDATE SET
            user_id = excluded.user_id, channel = excluded.channel, address = excluded.address, state = excluded.state,
            reason = excluded.reason, detail = excluded.detail, attempt = excluded.attempt, repeats = excluded.repeats,
            provider = excluded.provider, vendor = excluded.vendor, vendor_message_id = excluded.vendor_message_id,
            planned_ms = excluded.planned_ms, started_ms = excluded.started_ms, finished_ms = excluded.finished_ms,
            retry_ms = excluded.retry_ms, accepted_attempt = excluded.accepted_attempt,
            accepted_ms = excluded.accepted_ms, chunk_id = excluded.chunk_id, chunk_index = excluded.chunk_index,
            step = excluded.step, profile_id = excluded.profile_id, setting = excluded.setting;
    END IF;
    IF p_vendor_ids IS NOT NULL THEN
        INSERT INTO delivery_vendor_ids SELECT * FROM unnest(p_vendor_ids)
            ON CONFLICT (tenant, vendor, vendor_message_id) DO UPDATE SET delivery_id = excluded.delivery_id;
    END IF;
    IF p_attempts IS NOT NULL THEN
        INSERT INTO attempts SELECT * FROM unnest(p_attempts)
            ON CONFLICT (delivery_id, tenant, attempt, finished_ms, event) DO UPDATE SET
            started_ms = excluded.started_ms, outcome = excluded.outcome, reason = excluded.reason,
            detail = excluded.detail, provider = excluded.provider, vendor = excluded.vendor,
            vendor_message_id = excluded.vendor_message_id, retry_ms = excluded.retry_ms, repeats = excluded.repeats,
            applied = excluded.applied;
    END IF;
    IF p_receipts IS NOT NULL THEN
        PERFORM fold_receipts(p_receipts, p_receipts_kept);
    END IF;
END $$;

CREATE FUNCTION fold_letters(
    p_items fold_item[], p_captures fold_capture[], p_replays fold_replay[], p_dead_letters fold_dead_letter[]
) RETURNS void LANGUAGE plpgsql
-- Letters are found by their key whatever the statistics say, which trail behind a table that grows fast.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    IF p_items IS NOT NULL THEN
        INSERT INTO inbox_items SELECT * FROM unnest(p_items) ON CONFLICT DO NOTHING;
    END IF;
    IF p_captures IS NOT NULL THEN
        INSERT INTO captures SELECT * FROM unnest(p_captures) ON CONFLICT DO NOTHING;
    END IF;
    IF p_replays IS NOT NULL THEN
        PERFORM 1 FROM dead_letters WHERE (tenant, delivery_id) IN (
            SELECT tenant, delivery_id FROM unnest(p_replays)
            UNION ALL SELECT tenant, delivery_id FROM unnest(p_dead_letters))
            ORDER BY tenant, delivery_id FOR UPDATE;
        UPDATE dead_letters AS d SET replayed_ms = r.replayed_ms FROM unnest(p_replays) AS r
            WHERE d.tenant = r.tenant AND d.delivery_id = r.delivery_id;
    END IF;
    IF p_dead_letters IS NOT NULL THEN
        INSERT INTO dead_letters (
            tenant, delivery_id, channel, user_id, reason, detail, attempt, dead_ms, payload, replayed_ms)
            SELECT * FROM unnest(p_dead_letters)
            ON CONFLICT (tenant, delivery_id) DO UPDATE SET
            channel = excluded.channel, user_id = excluded.user_id, reason = excluded.reason, detail = excluded.detail,
            attempt = excluded.attempt, dead_ms = excluded.dead_ms, payload = excluded.payload,
            replayed_ms = excluded.replayed_ms, claimed_ms = NULL;
    END IF;
END $$;

-- Progress after the end of an instance does not change its state.
CREATE FUNCTION fold_instances(p_instances fold_instance[], p_progress fold_progress[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO instances AS i SELECT * FROM unnest(p_instances)
        ON CONFLICT (id, tenant) DO UPDATE SET
        step = excluded.step, state = excluded.state, ended_ms = excluded.ended_ms, detail = excluded.detail
        WHERE i.ended_ms IS NULL;
    INSERT INTO progress (instance_id, tenant, sequence, at_ms, step, event, detail)
        SELECT p.instance_id, p.tenant, row_number() OVER (PARTITION BY p.instance_id, p.tenant ORDER BY p.nr)
            + (SELECT coalesce(max(b.sequence), 0) FROM progress AS b
                WHERE b.instance_id = p.instance_id AND b.tenant = p.tenant), p.at_ms, p.step, p.event, p.detail
        FROM unnest(p_progress) WITH ORDINALITY AS p (instance_id, tenant, at_ms, step, event, detail, nr);
END $$;

-- Changes of one millisecond are numbered; workers of different partitions number the same accounts one after another.
CREATE FUNCTION fold_health_changes(p_health_changes fold_health_change[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('clarion.health_changes', 0));
    INSERT INTO health_changes (tenant, at_ms, provider, sequence, channel, vendor, before, state, detail)
        SELECT s.tenant, s.at_ms, s.provider, row_number() OVER (PARTITION BY s.tenant, s.at_ms, s.provider ORDER BY s.nr)
            + (SELECT coalesce(max(b.sequence), 0) FROM health_changes AS b
                WHERE b.tenant = s.tenant AND b.at_ms = s.at_ms AND b.provider = s.provider),
            s.channel, s.vendor, s.before, s.state, s.detail
        FROM unnest(p_health_changes) WITH ORDINALITY AS s (
            tenant, at_ms, provider, channel, vendor, before, state, detail, nr);
END $$;

-- Stores everything that one fold writes, or nothing. Rows of each kind come in one order of their keys in every fold, so
-- that concurrent folds wait for each other rather than deadlock; a kind without rows is null. An id that was assumed to
-- be new and has a row violates the key of deliveries or of chunk_states.
CREATE FUNCTION fold_store(
    p_advances fold_advance[], p_notifications fold_notification[], p_request_facts fold_request_facts[],
    p_new_deliveries fold_delivery[], p_deliveries fold_delivery[], p_vendor_ids fold_vendor_id[],
    p_attempts fold_attempt[], p_receipts fold_attempt[], p_receipts_kept integer, p_chunks fold_chunk[],
    p_new_chunk_states fold_chunk_state[], p_chunk_states fold_chunk_state[], p_totals fold_total[],
    p_items fold_item[], p_captures fold_capture[], p_replays fold_replay[], p_dead_letters fold_dead_letter[],
    p_cancellations fold_cancellation[], p_seen_receipts fold_seen_receipt[], p_instances fold_instance[],
    p_progress fold_progress[], p_health_changes fold_health_change[], p_counters fold_counter[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_advances IS NOT NULL THEN
        PERFORM fold_advance_all(p_advances);
    END IF;
    IF p_notifications IS NOT NULL THEN
        INSERT INTO notifications AS n SELECT * FROM unnest(p_notifications)
            ON CONFLICT (tenant, id) DO UPDATE SET planned_ms = coalesce(n.planned_ms, excluded.planned_ms),
            scheduled_ms = coalesce(n.scheduled_ms, excluded.scheduled_ms)
            WHERE n.planned_ms IS NULL AND excluded.planned_ms IS NOT NULL
            OR n.scheduled_ms IS NULL AND excluded.scheduled_ms IS NOT NULL;
    END IF;
    IF p_request_facts IS NOT NULL THEN
        INSERT INTO request_facts SELECT * FROM unnest(p_request_facts) ON CONFLICT DO NOTHING;
    END IF;
    PERFORM fold_deliveries(p_new_deliveries, p_deliveries, p_vendor_ids, p_attempts, p_receipts, p_receipts_kept);
    PERFORM fold_chunks(p_chunks, p_new_chunk_states, p_chunk_states, p_totals);
    PERFORM fold_letters(p_items, p_captures, p_replays, p_dead_letters);
    IF p_cancellations IS NOT NULL THEN
        INSERT INTO subject_cancellations SELECT * FROM unnest(p_cancellations) ON CONFLICT DO NOTHING;
    END IF;
    IF p_seen_receipts IS NOT NULL THEN
        INSERT INTO seen_receipts AS s SELECT * FROM unnest(p_seen_receipts)
            ON CONFLICT (tenant, notification_id, user_id) DO UPDATE SET last_ms = greatest(s.last_ms, excluded.last_ms);
    END IF;
    IF p_progress IS NOT NULL THEN
        PERFORM fold_instances(p_instances, p_progress);
    END IF;
    IF p_health_changes IS NOT NULL THEN
        PERFORM fold_health_changes(p_health_changes);
    END IF;
    IF p_counters IS NOT NULL THEN
        INSERT INTO counters AS c SELECT * FROM unnest(p_counters)
            ON CONFLICT (tenant, minute_ms, channel, what, reason) DO UPDATE SET count = c.count + excluded.count;
    END IF;
END $$;

-- The place of an ordinal in sorted unsigned 64-bit integers of low bytes first, null when they do not hold it.
CREATE FUNCTION ordinal_index(p_ordinals bytea, p_ordinal bigint) RETURNS integer LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    held bytea := p_ordinals || ''::bytea;
    wanted bytea := int8send(p_ordinal);
    low integer := 0;
    high integer := length(held) / 8 - 1;
    middle integer;
    found bytea;
BEGIN
    WHILE low <= high LOOP
        middle := (low + high) / 2;
        found := substring(held FROM middle * 8 + 1 FOR 8);
        found := int8send(
            get_byte(found, 0)::bigint | (get_byte(found, 1)::bigint << 8) | (get_byte(found, 2)::bigint << 16)
            | (get_byte(found, 3)::bigint << 24) | (get_byte(found, 4)::bigint << 32) | (get_byte(found, 5)::bigint << 40)
            | (get_byte(found, 6)::bigint << 48) | (get_byte(found, 7)::bigint << 56));
        IF found = wanted THEN
            RETURN middle;
        ELSIF found < wanted THEN
            low := middle + 1;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
