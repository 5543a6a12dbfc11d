-- Commit a group of steps in one call. The rows of all steps are arrays, one per column, in the order of the steps; part `k` of step
-- `i` (both from 0) has the rows `bounds[k * (p_steps + 1) + i + 1] + 1` to `bounds[k * (p_steps + 1) + i + 2]`. Each step is stored whole
-- or not at all: a refusal undoes it alone. Idempotency keys of all steps are stored first, in one order, so that no two commits wait for
-- each other; those of a step that is refused are removed again. Returns JSON: the answer of each step and the streams that grew. Raises CLR02 when the
-- writer gave this number up.
CREATE OR REPLACE FUNCTION journal.commit_steps(
    p_writer bytea, p_number bigint, p_origin text, p_now bigint, p_at bigint, p_ttl_max bigint, p_cancelled_max integer,
    p_empty_caps bytea, p_steps integer, bounds integer[], p_after bigint[],
    l_group text[], l_partition integer[], l_owner text[], l_fence bigint[],
    f_topic text[], f_partition integer[], f_count integer[], f_payload bytea[],
    c_group text[], c_partition integer[], c_topic text[], c_offset bigint[], c_numbers bytea[],
    i_group text[], i_partition integer[], i_number bigint[], i_payload bytea[],
    d_group text[], d_partition integer[], d_below bigint[],
    t_id bytea[], t_due bigint[], t_topic text[], t_partition integer[], t_payload bytea[], t_urgency integer[],
    k_tenant text[], k_key text[], k_hash bytea[], k_answer bytea[], k_expires bigint[],
    x_tenant text[], x_subject bytea[], x_at bigint[],
    u_id bytea[], u_tenant text[], u_partition integer[], u_status text[], u_position bigint[], u_planned bigint[],
    u_skipped bigint[], u_users bigint[], u_created bigint[], u_updated bigint[], u_payload bytea[],
    m_id bytea[], m_from bigint[], m_position bigint[], m_planned bigint[], m_skipped bigint[], m_users bigint[], m_done boolean[],
    q_tenant text[], q_rule bytea[], q_block bigint[], q_at integer[], q_read bytea[], q_new bytea[],
    e_partition integer[], e_key bytea[], e_value bytea[],
    g_tenant text[], g_key bytea[], g_payload bytea[],
    o_tenant text[], o_key bytea[], o_subject bytea[],
    w_tenant text[], w_key bytea[], w_subject bytea[], w_topic text[], w_partition integer[], w_expires bigint[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    at_ms bigint;
    i integer;
    j integer;
    lo integer;
    hi integer;
    refusal text;
    stale integer[];
    own_keys bigint[] := '{}';
    are_keys_free boolean := false;
    step jsonb;
    steps jsonb[] := '{}';
    offsets bigint[];
    found_caps bytea;
    markers text[] := '{}';
    own_markers text[];
    topics text[] := f_topic;
    partitions integer[] := f_partition;
    more_topics text[];
    more_partitions integer[];
    said text;
BEGIN
    INSERT INTO journal.writers AS w (writer, number, at_ms) VALUES (p_writer, p_number, p_now)
        ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at_ms = excluded.at_ms, answer = NULL
        WHERE w.number < excluded.number;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'commit % was given up', p_number USING ERRCODE = 'CLR02';
    END IF;

    -- A step that reads cancellations holds new ones back until it is durable, so that it has seen all that were acknowledged before.
    IF cardinality(x_tenant) > 0 THEN
        PERFORM pg_advisory_xact_lock(1129070930, 0);
    ELSIF array_remove(p_after, NULL) <> '{}' THEN
        PERFORM pg_advisory_xact_lock_shared(1129070930, 0);
    END IF;
    -- Nobody else can acquire the leases before these steps are durable.
    PERFORM pg_advisory_xact_lock_shared(1129070931, h.lease) FROM (
        SELECT DISTINCT hashtext(a.name || '/' || a.partition) AS lease FROM unnest(l_group, l_partition) a (name, partition)
        ORDER BY 1
    ) h;
    IF cardinality(g_tenant) > 0 THEN
        SELECT coalesce(array_agg(w.topic), '{}'), coalesce(array_agg(w.partition), '{}')
            INTO more_topics, more_partitions
            FROM (SELECT DISTINCT w.topic, w.partition FROM unnest(g_tenant, g_key) a (tenant, key)
                JOIN journal.waits w ON w.tenant = a.tenant AND w.key = a.key WHERE w.expires_ms > p_now) w;
        topics := topics || more_topics || w_topic;
        partitions := partitions || more_partitions || w_partition;
    END IF;
    IF cardinality(topics) > 0 THEN
        PERFORM journal.lock_streams(topics, partitions);
    END IF;
    IF cardinality(k_tenant) > 0 THEN
        WITH asked AS (
            SELECT DISTINCT ON (a.tenant, a.key) a.*
                FROM unnest(k_tenant, k_key, k_hash, k_answer, k_expires) WITH ORDINALITY a (tenant, key, hash, answer, expires, ord)
                -- The first that holds, else the last: an entry that has expired is replaced by a later one.
                ORDER BY a.tenant, a.key, a.expires <= p_now, CASE WHEN a.expires > p_now THEN a.ord ELSE -a.ord END
        ), stored AS (
            INSERT INTO journal.idempotency AS k (tenant, key, body_hash, answer, expires_ms)
                SELECT a.tenant, a.key, a.hash, a.answer, a.expires FROM asked a ORDER BY a.tenant, a.key
                ON CONFLICT (tenant, key) DO UPDATE
                SET body_hash = excluded.body_hash, answer = excluded.answer, expires_ms = excluded.expires_ms
                WHERE k.expires_ms <= p_now
                RETURNING k.tenant, k.key
        )
        SELECT coalesce(array_agg(a.ord), '{}') INTO own_keys FROM asked a JOIN stored s USING (tenant, key);
    END IF;
    at_ms := journal.lease_time(p_at);

    FOR i IN 1..p_steps LOOP
        refusal := NULL;
        stale := '{}';
        offsets := '{}';
        own_markers := '{}';
        step := '{}';
        BEGIN
            lo := bounds[i] + 1; hi := bounds[i + 1];
            IF hi >= lo THEN
                SELECT format('%s no longer holds %s/%s (fence %s)', a.owner, a.name, a.partition, a.fence) INTO refusal
                    FROM unnest(l_group[lo:hi], l_partition[lo:hi], l_owner[lo:hi], l_fence[lo:hi]) a (name, partition, owner, fence)
                    WHERE NOT EXISTS (SELECT 1 FROM journal.leases l WHERE l."group" = a.name AND l.partition = a.partition
                        AND l.owner = a.owner AND l.fence = a.fence
                        AND l.expires_ms > at_ms AND l.expires_ms <= at_ms + p_ttl_max)
                    LIMIT 1;
                IF refusal IS NOT NULL THEN
                    step := jsonb_build_object('refused', 'lease', 'detail', refusal);
                    RAISE EXCEPTION USING ERRCODE = 'CLR01';
                END IF;
            END IF;

            FOR j IN bounds[9 * (p_steps + 1) + i] + 1..bounds[9 * (p_steps + 1) + i + 1] LOOP
                UPDATE journal.cursors SET position = m_position[j], planned = planned + m_planned[j],
                    skipped = skipped + m_skipped[j], users = users + m_users[j],
                    status = CASE WHEN m_done[j] THEN 'done' ELSE status END, updated_ms = p_now
                    WHERE cursor_id = m_id[j] AND position = m_from[j] AND status = 'running';
                IF NOT FOUND THEN
                    step := jsonb_build_object('refused', 'cursor', 'detail',
                        format('cursor %s is not running at %s', encode(m_id[j], 'hex'), m_from[j]));
                    RAISE EXCEPTION USING ERRCODE = 'CLR01';
                END IF;
            END LOOP;

            lo := bounds[p_steps + 1 + i] + 1; hi := bounds[p_steps + 1 + i + 1];
            IF hi >= lo THEN
                offsets := journal.append_locked(f_topic[lo:hi], f_partition[lo:hi], f_count[lo:hi], f_payload[lo:hi], p_now);
            END IF;

            lo := bounds[2 * (p_steps + 1) + i] + 1; hi := bounds[2 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                INSERT INTO journal.commits AS c ("group", partition, topic, "offset", numbers)
                    SELECT * FROM unnest(c_group[lo:hi], c_partition[lo:hi], c_topic[lo:hi], c_offset[lo:hi], c_numbers[lo:hi])
                    ON CONFLICT ("group", partition, topic) DO UPDATE
                    SET "offset" = excluded."offset", numbers = excluded.numbers WHERE excluded."offset" >= c."offset";
            END IF;

            lo := bounds[4 * (p_steps + 1) + i] + 1; hi := bounds[4 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                DELETE FROM journal.intents n USING unnest(d_group[lo:hi], d_partition[lo:hi], d_below[lo:hi]) a (name, partition, below)
                    WHERE n."group" = a.name AND n.partition = a.partition AND n.number < a.below;
            END IF;
            lo := bounds[3 * (p_steps + 1) + i] + 1; hi := bounds[3 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                INSERT INTO journal.intents ("group", partition, number, payload)
                    SELECT * FROM unnest(i_group[lo:hi], i_partition[lo:hi], i_number[lo:hi], i_payload[lo:hi])
                    ON CONFLICT ("group", partition, number) DO UPDATE SET payload = excluded.payload;
            END IF;

            lo := bounds[5 * (p_steps + 1) + i] + 1; hi := bounds[5 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                INSERT INTO journal.timers (timer_id, due_ms, topic, partition, payload, urgency)
                    SELECT * FROM unnest(
                        t_id[lo:hi], t_due[lo:hi], t_topic[lo:hi], t_partition[lo:hi], t_payload[lo:hi], t_urgency[lo:hi])
                    ON CONFLICT DO NOTHING;
                own_markers := array_append(own_markers, 'timers');
            END IF;

            lo := bounds[6 * (p_steps + 1) + i] + 1; hi := bounds[6 * (p_steps + 1) + i + 1];
            IF hi >= lo AND are_keys_free THEN
                INSERT INTO journal.idempotency (tenant, key, body_hash, answer, expires_ms)
                    SELECT DISTINCT ON (a.tenant, a.key) a.tenant, a.key, a.hash, a.answer, a.expires
                    FROM unnest(k_tenant[lo:hi], k_key[lo:hi], k_hash[lo:hi], k_answer[lo:hi], k_expires[lo:hi])
                        WITH ORDINALITY a (tenant, key, hash, answer, expires, ord)
                    ORDER BY a.tenant, a.key, a.expires <= p_now, CASE WHEN a.expires > p_now THEN a.ord ELSE -a.ord END
                    ON CONFLICT DO NOTHING;
            END IF;
            IF hi >= lo AND cardinality(own_keys) < cardinality(k_tenant) THEN
                SELECT coalesce(array_agg(a.ord - 1 ORDER BY a.ord), '{}') INTO stale
                    FROM unnest(k_tenant[lo:hi], k_key[lo:hi], k_hash[lo:hi], k_answer[lo:hi])
                        WITH ORDINALITY a (tenant, key, hash, answer, ord)
                    WHERE NOT EXISTS (SELECT 1 FROM journal.idempotency k WHERE k.tenant = a.tenant AND k.key = a.key
                        AND k.body_hash = a.hash AND k.answer = a.answer)
                    AND NOT (k_expires[lo + a.ord - 1] <= p_now AND EXISTS (
                        SELECT 1 FROM generate_series((lo + a.ord)::integer, hi) later
                        WHERE k_tenant[later] = a.tenant AND k_key[later] = a.key));
            END IF;
            IF stale <> '{}' THEN
                step := jsonb_build_object('refused', 'key', 'stale', stale);
                RAISE EXCEPTION USING ERRCODE = 'CLR01';
            END IF;

            lo := bounds[7 * (p_steps + 1) + i] + 1; hi := bounds[7 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                INSERT INTO journal.cancellations (tenant, subject_id, at_ms)
                    SELECT * FROM unnest(x_tenant[lo:hi], x_subject[lo:hi], x_at[lo:hi]);
                own_markers := array_append(own_markers, 'cancellations');
            END IF;

            lo := bounds[8 * (p_steps + 1) + i] + 1; hi := bounds[8 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                INSERT INTO journal.cursors SELECT * FROM unnest(
                    u_id[lo:hi], u_tenant[lo:hi], u_partition[lo:hi], u_status[lo:hi], u_position[lo:hi], u_planned[lo:hi],
                    u_skipped[lo:hi], u_users[lo:hi], u_created[lo:hi], u_updated[lo:hi], u_payload[lo:hi])
                    ON CONFLICT DO NOTHING;
                own_markers := array_append(own_markers, 'cursors');
            END IF;

            FOR j IN bounds[10 * (p_steps + 1) + i] + 1..bounds[10 * (p_steps + 1) + i + 1] LOOP
                INSERT INTO journal.caps AS q (tenant, rule, block, times)
                    VALUES (q_tenant[j], q_rule[j], q_block[j], p_empty_caps) ON CONFLICT DO NOTHING;
                UPDATE journal.caps SET times = overlay(times PLACING q_new[j] FROM q_at[j] + 1)
                    WHERE tenant = q_tenant[j] AND rule = q_rule[j] AND block = q_block[j]
                    AND substring(times FROM q_at[j] + 1 FOR octet_length(q_read[j])) = q_read[j];
                IF NOT FOUND THEN
                    step := jsonb_build_object('refused', 'caps', 'detail',
                        format('slots of block %s were changed since they were read', q_block[j]));
                    RAISE EXCEPTION USING ERRCODE = 'CLR01';
                END IF;
            END LOOP;

            lo := bounds[11 * (p_steps + 1) + i] + 1; hi := bounds[11 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                INSERT INTO journal.cells (partition, key, value)
                    SELECT * FROM unnest(e_partition[lo:hi], e_key[lo:hi], e_value[lo:hi]) a (partition, key, value)
                    WHERE a.value IS NOT NULL
                    ON CONFLICT (partition, key) DO UPDATE SET value = excluded.value;
                DELETE FROM journal.cells c USING unnest(e_partition[lo:hi], e_key[lo:hi], e_value[lo:hi]) a (partition, key, value)
                    WHERE a.value IS NULL AND c.partition = a.partition AND c.key = a.key;
            END IF;

            FOR j IN bounds[12 * (p_steps + 1) + i] + 1..bounds[12 * (p_steps + 1) + i + 1] LOOP
                SELECT array_agg(w.topic), array_agg(w.partition) INTO more_topics, more_partitions FROM (
                    SELECT DISTINCT w.topic, w.partition FROM journal.waits w
                    WHERE w.tenant = g_tenant[j] AND w.key = g_key[j] AND w.expires_ms > p_now ORDER BY 1, 2) w;
                IF more_topics IS NOT NULL THEN
                    PERFORM journal.append(more_topics, more_partitions, array_fill(1, ARRAY[cardinality(more_topics)]),
                        array_fill(g_payload[j], ARRAY[cardinality(more_topics)]), p_now);
                    topics := topics || more_topics;
                    partitions := partitions || more_partitions;
                END IF;
            END LOOP;

            lo := bounds[13 * (p_steps + 1) + i] + 1; hi := bounds[13 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                DELETE FROM journal.waits w USING unnest(o_tenant[lo:hi], o_key[lo:hi], o_subject[lo:hi]) a (tenant, key, subject)
                    WHERE w.tenant = a.tenant AND w.key = a.key AND w.subject = a.subject;
            END IF;
            lo := bounds[14 * (p_steps + 1) + i] + 1; hi := bounds[14 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                INSERT INTO journal.waits (tenant, key, subject, topic, partition, expires_ms)
                    SELECT * FROM unnest(w_tenant[lo:hi], w_key[lo:hi], w_subject[lo:hi], w_topic[lo:hi], w_partition[lo:hi], w_expires[lo:hi])
                    ON CONFLICT (tenant, key, subject) DO UPDATE
                    SET topic = excluded.topic, partition = excluded.partition, expires_ms = excluded.expires_ms;
            END IF;

            step := jsonb_build_object('offsets', offsets);
            IF p_after[i] IS NOT NULL THEN
                step := step || (SELECT jsonb_build_object('after', coalesce(max(c.sequence), p_after[i]),
                    'cancelled', coalesce(jsonb_agg(encode(c.subject_id, 'hex') ORDER BY c.sequence), '[]'))
                    FROM (SELECT sequence, subject_id FROM journal.cancellations WHERE sequence > p_after[i]
                        ORDER BY sequence LIMIT p_cancelled_max) c);
            END IF;
            markers := markers || own_markers;
        EXCEPTION WHEN SQLSTATE 'CLR01' THEN -- `step` says what refused it
            lo := bounds[6 * (p_steps + 1) + i] + 1; hi := bounds[6 * (p_steps + 1) + i + 1];
            IF hi >= lo THEN
                DELETE FROM journal.idempotency k USING unnest(own_keys) o (ord)
                    WHERE o.ord BETWEEN lo AND hi AND k.tenant = k_tenant[o.ord] AND k.key = k_key[o.ord];
                are_keys_free := true; -- for a later step with one of them
            END IF;
        END;
        steps := array_append(steps, step);
    END LOOP;

    IF markers <> '{}' THEN
        PERFORM journal.mark(markers);
        topics := topics || markers;
        partitions := partitions || array_fill(0, ARRAY[cardinality(markers)]);
    END IF;
    said := jsonb_build_object('steps', to_jsonb(steps), 'grown', journal.wake(p_origin, topics, partitions))::text;
    UPDATE journal.writers SET answer = said WHERE writer = p_writer;
    RETURN said;
END $$;
