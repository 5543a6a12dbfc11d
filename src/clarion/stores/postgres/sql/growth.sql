-- History is kept in a partition for each period of 30 days, by the time that ids begin with: 48 bits of milliseconds. Dropping a period
-- is then dropping files. Rows of no period that was made are in the table's `_other` partition.
CREATE FUNCTION history_tables() RETURNS TABLE (name text, key text) LANGUAGE sql IMMUTABLE AS $$
    VALUES ('attempts', 'delivery_id'), ('broadcast_spans', 'broadcast_id'), ('broadcast_totals', 'broadcast_id'),
        ('captures', 'delivery_id'), ('chunk_spans', 'broadcast_id'), ('chunk_states', 'chunk_id'), ('chunks', 'chunk_id'),
        ('dead_letters', 'delivery_id'), ('deliveries', 'id'), ('inbox_items', 'item_id'), ('inbox_marks', 'item_id'),
        ('instances', 'id'), ('notifications', 'id'), ('progress', 'instance_id'), ('seen_receipts', 'notification_id'),
        ('subject_cancellations', 'id')
$$;
CREATE FUNCTION history_period_ms() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 30 * 86400000::bigint $$;
-- The lowest id of a time.
CREATE FUNCTION history_edge(p_ms bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT substring(int8send(least(greatest(p_ms, 0), (1::bigint << 48) - 1)) FROM 3)
$$;

-- Ids of instances begin with their notification's, so those of a notification lie together in the key.
DROP INDEX instances_of;

DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT name, key, name || '_other' AS other FROM history_tables() LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', one.name, one.other);
        EXECUTE format('ALTER INDEX %I RENAME TO %I', one.name || '_pkey', one.other || '_pkey');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE) PARTITION BY RANGE (%I)',
            one.name, one.other, one.key);
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I %s', one.name, one.name || '_pkey', pg_get_constraintdef(c.oid))
            FROM pg_constraint c WHERE c.conrelid = one.other::regclass AND c.contype = 'p';
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I DEFAULT', one.name, one.other);
        EXECUTE format('DROP POLICY tenant ON %1$I; DROP POLICY all_tenants ON %1$I', one.other);
        EXECUTE format('REVOKE ALL ON %I FROM clarion_api, clarion_worker', one.other);
        PERFORM protect_rows(one.name::regclass);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO clarion_worker; GRANT SELECT ON %1$I TO clarion_api',
            one.name);
    END LOOP;
END $$;
GRANT INSERT, UPDATE, DELETE ON inbox_marks TO clarion_api;
GRANT UPDATE ON dead_letters TO clarion_api;

-- Make the partitions of this period and of `p_ahead` more, and return how many were made. A period of which there are rows already
-- gets none: they stay where they are.
CREATE FUNCTION history_make(p_ahead integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    one record;
    number bigint := (extract(epoch FROM now()) * 1000)::bigint / history_period_ms();
    made integer := 0;
    has_rows boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(1129070933, 0);
    FOR one IN
        SELECT t.name, t.key, t.name || '_other' AS other,
            t.name || to_char(to_timestamp(n * history_period_ms() / 1000) AT TIME ZONE 'UTC', '_YYYYMMDD') AS part,
            history_edge(n * history_period_ms()) AS low, history_edge((n + 1) * history_period_ms()) AS high,
            (SELECT 'WITH (' || array_to_string(c.reloptions, ', ') || ')' FROM pg_class c
                WHERE c.oid = (t.name || '_other')::regclass AND c.reloptions IS NOT NULL) AS options
        FROM history_tables() t, generate_series(number, number + p_ahead) n ORDER BY t.name, n
    LOOP
        CONTINUE WHEN to_regclass(one.part) IS NOT NULL;
        PERFORM set_tenants('*');
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= %L AND %2$I < %4$L)', one.name, one.key, one.low, one.high)
            INTO has_rows;
        CONTINUE WHEN has_rows;
        -- Attached, and not created as a partition: nothing that runs has to wait for it.
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING INDEXES) %s',
            one.part, one.other, one.options);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', one.part);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', one.name, one.part, one.low, one.high);
        made := made + 1;
    END LOOP;
    PERFORM set_tenants('');
    RETURN made;
END $$;

-- Drop the partitions of periods that ended before a time, delete up to `p_room` rows of each table that are as old and in no period,
-- and return how many rows were deleted. Waits no longer than half a second for statements that
-- use the tables, as all others wait meanwhile.
CREATE FUNCTION history_drop(p_before bigint, p_room integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    one record;
    edge bytea := history_edge(p_before / history_period_ms() * history_period_ms());
    last text := to_char(to_timestamp(p_before / history_period_ms() * history_period_ms() / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD');
    gone integer;
    number integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(1129070933, 0);
    FOR one IN
        SELECT t.name, i.inhrelid::regclass AS part FROM history_tables() t
        JOIN pg_inherits i ON i.inhparent = t.name::regclass JOIN pg_class c ON c.oid = i.inhrelid
        WHERE c.relname ~ '_[0-9]{8}$' AND right(c.relname, 8) < last ORDER BY t.name, c.relname
    LOOP
        EXECUTE format('DROP TABLE %s', one.part);
    END LOOP;
    PERFORM set_tenants('*');
    FOR one IN SELECT name, key FROM history_tables() LOOP
        EXECUTE format('DELETE FROM %1$I WHERE tableoid = %2$L::regclass AND ctid = ANY (ARRAY('
            'SELECT ctid FROM %1$I WHERE tableoid = %2$L::regclass AND %3$I < %4$L LIMIT %5$s))',
            one.name, one.name || '_other', one.key, edge, p_room);
        GET DIAGNOSTICS gone = ROW_COUNT;
        number := number + gone;
    END LOOP;
    PERFORM set_tenants('');
    RETURN number;
END $$;
REVOKE EXECUTE ON FUNCTION history_make, history_drop FROM PUBLIC;
GRANT EXECUTE ON FUNCTION history_make, history_drop TO clarion_worker;

-- Plans of a fold are looks into keys whatever the values, so they are made once, and not for all partitions at each call.
ALTER FUNCTION fold_store SET plan_cache_mode = force_generic_plan;

SELECT history_make(2);
