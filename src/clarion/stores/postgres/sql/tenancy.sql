-- Row-level security by tenant. `clarion.tenants` is set for one transaction: an array of tenants, or `*` for all of them, which
-- only members of `clarion_worker` see. Policies are FORCEd, so they bind the owner, too, but no superuser.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['clarion_api', 'clarion_worker'] LOOP
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name);
        IF NOT (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            RAISE EXCEPTION 'the role % is missing and % may not create roles', name, current_user
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of the server was migrated at the same time
        END;
    END LOOP;
    -- Functions that look across tenants run as the owner.
    IF NOT pg_has_role(current_user, 'clarion_worker', 'USAGE') THEN
        EXECUTE format('GRANT clarion_worker TO %I', current_user);
    END IF;
END $$;

CREATE FUNCTION tenants_given() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN current_setting('clarion.tenants', true) LIKE '{%' THEN current_setting('clarion.tenants', true)::text[]
        ELSE '{}' END
$$;

-- Protect a table that has a column `tenant`. The sub-selects make it one evaluation per statement, and not one per row.
CREATE FUNCTION protect_rows(p_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', p_table);
    EXECUTE format('CREATE POLICY tenant ON %s USING (tenant = ANY ((SELECT tenants_given())::text[]))', p_table);
    EXECUTE format('CREATE POLICY all_tenants ON %s TO clarion_worker'
        ' USING ((SELECT current_setting(''clarion.tenants'', true)) = ''*'')', p_table);
END $$;
REVOKE EXECUTE ON FUNCTION protect_rows FROM PUBLIC;

-- Facts are stored for each tenant with a delivery that was decided from them.
ALTER TYPE fold_request_facts ADD ATTRIBUTE tenant text;
ALTER TABLE request_facts DROP CONSTRAINT request_facts_pkey, ADD COLUMN tenant text COLLATE "C";
INSERT INTO request_facts (digest, facts, tenant)
    SELECT DISTINCT r.digest, r.facts, d.tenant FROM request_facts r JOIN deliveries d ON d.setting = r.digest;
DELETE FROM request_facts WHERE tenant IS NULL;
ALTER TABLE request_facts ADD PRIMARY KEY (tenant, digest);

SELECT protect_rows(c.oid) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
    WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'journal'::regnamespace)
    AND c.relname <> 'tenant_revisions';

-- Every process follows the revisions of all tenants: numbers without content. A change of keys or tenants counts for the empty name.
ALTER TABLE tenant_revisions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY numbers ON tenant_revisions FOR SELECT USING (true);
CREATE POLICY tenant ON tenant_revisions USING (tenant = '' OR tenant = ANY ((SELECT tenants_given())::text[]));

-- Frames and cells mix tenants: workers reach them. Others append frames, look for a request that was accepted a moment ago, and read the
-- results of schedules, whose keys are hashes.
ALTER TABLE journal.frames ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workers ON journal.frames TO clarion_worker USING (true);
CREATE POLICY appended ON journal.frames FOR INSERT TO clarion_api WITH CHECK (true);
CREATE POLICY accepted ON journal.frames FOR SELECT TO clarion_api USING (
    stream_id = ANY ((SELECT array_agg(s.stream_id) FROM journal.streams s WHERE s.topic LIKE 'accepted.%')::integer[]));
ALTER TABLE journal.cells ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workers ON journal.cells TO clarion_worker USING (true);
CREATE POLICY occurrences ON journal.cells FOR SELECT TO clarion_api USING (key >= 'o'::bytea AND key < 'p'::bytea);

GRANT USAGE ON SCHEMA public, journal TO clarion_api, clarion_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, journal TO clarion_worker;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM clarion_worker;
GRANT USAGE ON SEQUENCE swap_versions TO clarion_api, clarion_worker;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO clarion_api;
GRANT INSERT, UPDATE, DELETE ON revisions, tenant_revisions, tenants, token_keys, api_keys, key_networks, quotas, profiles, users,
    consents, topics, topic_members, categories, templates, template_versions, definitions, providers, suppressions, usage,
    account_health, inbox_marks, inbox_horizons TO clarion_api;
GRANT INSERT ON facts TO clarion_api;
GRANT UPDATE ON dead_letters TO clarion_api;
GRANT SELECT, INSERT, UPDATE ON journal.streams, journal.leases, journal.idempotency, journal.cursors, journal.writers TO clarion_api;
GRANT SELECT, INSERT ON journal.frames, journal.meta, journal.cancellations TO clarion_api;
GRANT SELECT ON journal.commits, journal.cells, journal.waits, journal.caps TO clarion_api;
GRANT INSERT ON journal.timers TO clarion_api;


-- Set the tenants until the end of the transaction and return what they were.
CREATE FUNCTION set_tenants(p_tenants text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('clarion.tenants', true);
BEGIN
    PERFORM set_config('clarion.tenants', coalesce(p_tenants, ''), true);
    RETURN before;
END $$;

-- What every role may read across tenants, each as little as its caller needs.
CREATE FUNCTION key_by_id(p_key_id text) RETURNS SETOF api_keys LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := public.set_tenants('*');
BEGIN
    RETURN QUERY SELECT * FROM public.api_keys k WHERE k.key_id = p_key_id AND k.revoked_ms IS NULL;
    PERFORM public.set_tenants(before);
END $$;

CREATE FUNCTION keys_expiring(p_now bigint, p_until bigint, p_warned_before bigint, p_limit bigint) RETURNS SETOF api_keys
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := public.set_tenants('*');
BEGIN
    RETURN QUERY WITH due AS (
        SELECT k.tenant, k.key_id FROM public.api_keys k
        WHERE k.revoked_ms IS NULL AND k.replaced_by IS NULL AND k.expires_ms > p_now AND k.expires_ms <= p_until
            AND (k.warned_ms IS NULL OR k.warned_ms <= p_warned_before)
        ORDER BY k.expires_ms, k.key_id LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), warned AS (
        UPDATE public.api_keys k SET warned_ms = p_now FROM due WHERE k.tenant = due.tenant AND k.key_id = due.key_id
        RETURNING k.*
    )
    SELECT * FROM warned w ORDER BY w.expires_ms, w.key_id;
    PERFORM public.set_tenants(before);
END $$;

CREATE FUNCTION tenants_page(p_after text, p_limit bigint) RETURNS SETOF tenants LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := public.set_tenants('*');
BEGIN
    RETURN QUERY SELECT * FROM public.tenants t WHERE t.tenant > p_after ORDER BY t.tenant LIMIT p_limit;
    PERFORM public.set_tenants(before);
END $$;

CREATE FUNCTION profiles_by_id(p_ids bigint[])
RETURNS TABLE (profile_id bigint, zone text, preferences text, quiet_hours text) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := public.set_tenants('*');
BEGIN
    RETURN QUERY SELECT p.profile_id, p.zone, p.preferences, p.quiet_hours FROM public.profiles p
        WHERE p.profile_id = ANY (p_ids);
    PERFORM public.set_tenants(before);
END $$;

CREATE FUNCTION journal.cursors_by_id(p_ids bytea[]) RETURNS SETOF journal.cursors LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := public.set_tenants('*');
BEGIN
    RETURN QUERY SELECT * FROM journal.cursors c WHERE c.cursor_id = ANY (p_ids);
    PERFORM public.set_tenants(before);
END $$;

CREATE OR REPLACE FUNCTION journal.set_cursor_status(
    p_origin text, p_cursor bytea, p_status text, p_allowed text[], p_now bigint
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := public.set_tenants('*');
    changed boolean;
BEGIN
    UPDATE journal.cursors SET status = p_status, updated_ms = p_now
        WHERE cursor_id = p_cursor AND status = ANY (p_allowed);
    changed := FOUND;
    PERFORM public.set_tenants(before);
    IF NOT changed THEN
        RETURN NULL;
    END IF;
    PERFORM journal.mark(ARRAY['cursors']);
    RETURN journal.wake(p_origin, ARRAY['cursors'], ARRAY[0])::text;
END $$;

REVOKE EXECUTE ON FUNCTION key_by_id, keys_expiring, tenants_page, profiles_by_id, journal.cursors_by_id,
    journal.set_cursor_status FROM PUBLIC;
GRANT EXECUTE ON FUNCTION key_by_id, keys_expiring, tenants_page, profiles_by_id, journal.cursors_by_id,
    journal.set_cursor_status TO clarion_api, clarion_worker;
