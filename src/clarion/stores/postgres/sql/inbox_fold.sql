-- What a fold writes about inboxes since it gives places. The types and functions of the first schema stay, and those that they
-- call give places, too, for processes of that release that still run.
CREATE TYPE fold_placed_item AS (
    tenant text, user_id text, item_id bytea, created_ms bigint, content bytea, category text, expires_ms bigint,
    collapse_key text
);
CREATE TYPE fold_arrival AS (tenant text, chunk_id bytea, at_ms bigint, members bytea, broadcast_id bytea);
CREATE TYPE fold_collapse AS (tenant text, collapse_key text, broadcast_id bytea);
CREATE TYPE fold_place AS (chunk_id bytea, tenant text, is_late boolean, seq bigint);

-- Returns the next places of in-app chunks, the new ones first. Rows of tenants are locked in the order of their keys.
CREATE FUNCTION fold_shared_places(p_chunks fold_chunk[], p_arrivals fold_arrival[]) RETURNS fold_place[]
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO inbox_tenants AS t
        SELECT s.tenant, count(*) FROM (
            SELECT c.tenant FROM unnest(p_chunks) AS c WHERE c.channel = 'inapp'
            UNION ALL SELECT a.tenant FROM unnest(p_arrivals) AS a) AS s
        GROUP BY s.tenant ORDER BY s.tenant
        ON CONFLICT (tenant) DO UPDATE SET shared_seq = t.shared_seq + excluded.shared_seq;
    RETURN ARRAY(
        SELECT ROW(s.chunk_id, s.tenant, s.is_late, t.shared_seq - count(*) OVER (PARTITION BY s.tenant)
            + row_number() OVER (PARTITION BY s.tenant ORDER BY s.is_late, s.chunk_id))::fold_place
        FROM (
            SELECT c.chunk_id, c.tenant, false AS is_late FROM unnest(p_chunks) AS c WHERE c.channel = 'inapp'
            UNION ALL SELECT a.chunk_id, a.tenant, true FROM unnest(p_arrivals) AS a) AS s
        JOIN inbox_tenants AS t ON t.tenant = s.tenant);
END $$;

CREATE FUNCTION fold_placed_chunks(
    p_chunks fold_chunk[], p_new_chunk_states fold_chunk_state[], p_chunk_states fold_chunk_state[],
    p_totals fold_total[], p_arrivals fold_arrival[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    places fold_place[];
BEGIN
    IF p_arrivals IS NOT NULL OR p_chunks IS NOT NULL THEN
        places := fold_shared_places(p_chunks, p_arrivals);
    END IF;
    IF p_chunks IS NOT NULL THEN
        INSERT INTO chunks SELECT
            chunk_id, tenant, channel, locale, category, planned_ms, expires_ms, count, min_ordinal, max_ordinal, content,
            data, metadata, ordinals, user_ids, addresses, users
            FROM unnest(p_chunks) ON CONFLICT DO NOTHING;
        INSERT INTO chunk_spans
            SELECT c.tenant, c.broadcast_id, c.channel, c.min_ordinal, c.chunk_id, c.max_ordinal, coalesce(p.seq, 0)
            FROM unnest(p_chunks) AS c
            LEFT JOIN unnest(places) AS p ON p.chunk_id = c.chunk_id AND p.tenant = c.tenant AND NOT p.is_late
            ON CONFLICT DO NOTHING;
        INSERT INTO broadcast_spans AS s SELECT c.tenant, c.channel, c.broadcast_id, min(c.min_ordinal),
                max(c.max_ordinal), max(c.max_ordinal - c.min_ordinal), coalesce(min(p.seq), 0), coalesce(max(p.seq), 0)
            FROM unnest(p_chunks) AS c
            LEFT JOIN unnest(places) AS p ON p.chunk_id = c.chunk_id AND p.tenant = c.tenant AND NOT p.is_late
            GROUP BY c.tenant, c.channel, c.broadcast_id ORDER BY c.tenant, c.channel, c.broadcast_id
            ON CONFLICT (tenant, channel, broadcast_id) DO UPDATE SET
            min_ordinal = least(s.min_ordinal, excluded.min_ordinal),
            max_ordinal = greatest(s.max_ordinal, excluded.max_ordinal), widest = greatest(s.widest, excluded.widest),
            last_seq = greatest(s.last_seq, excluded.last_seq);
    END IF;
    IF p_arrivals IS NOT NULL THEN
        INSERT INTO chunk_arrivals SELECT a.chunk_id, a.tenant, p.seq, a.at_ms, a.members
            FROM unnest(p_arrivals) AS a
            JOIN unnest(places) AS p ON p.chunk_id = a.chunk_id AND p.tenant = a.tenant AND p.is_late;
        PERFORM 1 FROM broadcast_spans AS s WHERE s.channel = 'inapp' AND (s.tenant, s.broadcast_id) IN (
            SELECT a.tenant, a.broadcast_id FROM unnest(p_arrivals) AS a)
            ORDER BY s.tenant, s.broadcast_id FOR UPDATE;
        UPDATE broadcast_spans AS s SET last_seq = greatest(s.last_seq, n.seq) FROM (
                SELECT a.tenant, a.broadcast_id, max(p.seq) AS seq FROM unnest(p_arrivals) AS a
                JOIN unnest(places) AS p ON p.chunk_id = a.chunk_id AND p.tenant = a.tenant AND p.is_late
                GROUP BY a.tenant, a.broadcast_id) AS n
            WHERE s.tenant = n.tenant AND s.channel = 'inapp' AND s.broadcast_id = n.broadcast_id;
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

-- Stores own items at the next places of their users, whose rows are locked in the order of their keys.
CREATE FUNCTION fold_placed_items(p_items fold_placed_item[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO inbox_users AS u SELECT i.tenant, i.user_id, count(*) FROM unnest(p_items) AS i
        GROUP BY i.tenant, i.user_id ORDER BY i.tenant, i.user_id
        ON CONFLICT (tenant, user_id) DO UPDATE SET own_seq = u.own_seq + excluded.own_seq;
    INSERT INTO inbox_items (tenant, user_id, item_id, created_ms, content, category, expires_ms, collapse_key, shared_seq, own_seq)
        SELECT i.tenant, i.user_id, i.item_id, i.created_ms, i.content, i.category, i.expires_ms, i.collapse_key,
            coalesce(t.shared_seq, 0), u.own_seq - count(*) OVER (PARTITION BY i.tenant, i.user_id)
            + row_number() OVER (PARTITION BY i.tenant, i.user_id ORDER BY i.nr)
        FROM unnest(p_items) WITH ORDINALITY AS i (
            tenant, user_id, item_id, created_ms, content, category, expires_ms, collapse_key, nr)
        JOIN inbox_users AS u ON u.tenant = i.tenant AND u.user_id = i.user_id
        LEFT JOIN inbox_tenants AS t ON t.tenant = i.tenant
        ON CONFLICT DO NOTHING;
END $$;

-- The deliveries that came into the inbox between two versions of a chunk's states, a byte each: 10 is sent, 11 delivered.
CREATE FUNCTION newly_shown(p_before bytea, p_after bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(CASE WHEN get_byte(p_after, i) IN (10, 11) AND get_byte(p_before, i) NOT IN (10, 11)
        THEN '\x01'::bytea ELSE '\x00'::bytea END, ''::bytea ORDER BY i)
    FROM generate_series(0, length(p_after) - 1) AS i
$$;

CREATE OR REPLACE FUNCTION fold_chunks(
    p_chunks fold_chunk[], p_new_chunk_states fold_chunk_state[], p_chunk_states fold_chunk_state[],
    p_totals fold_total[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    arrivals fold_arrival[];
BEGIN
    IF p_chunk_states IS NOT NULL THEN
        arrivals := nullif(ARRAY(
            SELECT ROW(n.tenant, n.chunk_id, coalesce(n.finished_ms, 0), m.members, substring(n.chunk_id FOR 16))::fold_arrival
            FROM unnest(p_chunk_states) AS n
            JOIN chunk_states AS b ON b.chunk_id = n.chunk_id AND b.tenant = n.tenant AND b.states <> n.states
            CROSS JOIN LATERAL (SELECT newly_shown(b.states, n.states) AS members) AS m
            WHERE n.channel = 'inapp' AND position('\x01'::bytea IN m.members) > 0), '{}');
    END IF;
    PERFORM fold_placed_chunks(p_chunks, p_new_chunk_states, p_chunk_states, p_totals, arrivals);
END $$;

CREATE OR REPLACE FUNCTION fold_letters(
    p_items fold_item[], p_captures fold_capture[], p_replays fold_replay[], p_dead_letters fold_dead_letter[]
) RETURNS void LANGUAGE plpgsql
-- Letters are found by their key whatever the statistics say, which trail behind a table that grows fast.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    IF p_items IS NOT NULL THEN
        PERFORM fold_placed_items(ARRAY(
            SELECT ROW(i.tenant, i.user_id, i.item_id, i.created_ms, i.content, '', NULL, '')::fold_placed_item
            FROM unnest(p_items) AS i));
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

-- Stores what one fold writes, as `fold_store` does; chunks and items come with what places need.
CREATE FUNCTION fold_store_placed(
    p_advances fold_advance[], p_notifications fold_notification[], p_request_facts fold_request_facts[],
    p_new_deliveries fold_delivery[], p_deliveries fold_delivery[], p_vendor_ids fold_vendor_id[],
    p_attempts fold_attempt[], p_receipts fold_attempt[], p_receipts_kept integer, p_chunks fold_chunk[],
    p_new_chunk_states fold_chunk_state[], p_chunk_states fold_chunk_state[], p_totals fold_total[],
    p_items fold_placed_item[], p_captures fold_capture[], p_replays fold_replay[], p_dead_letters fold_dead_letter[],
    p_cancellations fold_cancellation[], p_seen_receipts fold_seen_receipt[], p_instances fold_instance[],
    p_progress fold_progress[], p_health_changes fold_health_change[], p_counters fold_counter[],
    p_arrivals fold_arrival[], p_collapses fold_collapse[], p_messages text[]
) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM fold_store(p_advances, p_notifications, p_request_facts, p_new_deliveries, p_deliveries, p_vendor_ids,
        p_attempts, p_receipts, p_receipts_kept, NULL, NULL, NULL, NULL, NULL, p_captures, p_replays, p_dead_letters,
        p_cancellations, p_seen_receipts, p_instances, p_progress, p_health_changes, p_counters);
    PERFORM fold_placed_chunks(p_chunks, p_new_chunk_states, p_chunk_states, p_totals, p_arrivals);
    IF p_collapses IS NOT NULL THEN
        INSERT INTO broadcast_collapses SELECT * FROM unnest(p_collapses) ON CONFLICT DO NOTHING;
    END IF;
    IF p_items IS NOT NULL THEN
        PERFORM fold_placed_items(p_items);
    END IF;
    IF p_messages IS NOT NULL THEN
        PERFORM pg_notify('clarion_inbox', m) FROM unnest(p_messages) AS m;
    END IF;
END $$;
