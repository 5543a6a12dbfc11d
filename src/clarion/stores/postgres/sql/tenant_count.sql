-- How many tenants there are, outside of row-level security: without this row, a copy of the database that row-level security kept
-- their rows from would look like an installation without tenants.
CREATE TABLE tenant_count (id integer PRIMARY KEY CHECK (id = 1), number bigint NOT NULL);
GRANT SELECT ON tenant_count TO clarion_api, clarion_worker;

-- Every process may read the numbers of all tenants' revisions: without tenants, they tell how many there were.
SELECT set_tenants('*');
INSERT INTO tenant_count
SELECT 1, CASE WHEN (SELECT count(*) FROM tenants) > 0 THEN (SELECT count(*) FROM tenants)
    ELSE (SELECT count(*) FROM tenant_revisions WHERE tenant <> '') END;
SELECT set_tenants('');

CREATE FUNCTION count_tenants() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    more bigint := (SELECT count(*) FROM changed);
BEGIN
    IF more > 0 THEN
        INSERT INTO public.tenant_count AS t VALUES (1, more)
            ON CONFLICT (id) DO UPDATE SET number = t.number + CASE WHEN TG_OP = 'DELETE' THEN -more ELSE more END;
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION count_tenants FROM PUBLIC;
CREATE TRIGGER tenants_made AFTER INSERT ON tenants REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_tenants();
CREATE TRIGGER tenants_removed AFTER DELETE ON tenants REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_tenants();

CREATE FUNCTION tenants_there() RETURNS TABLE (wanted bigint, there bigint) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := public.set_tenants('*');
BEGIN
    RETURN QUERY SELECT coalesce((SELECT number FROM public.tenant_count), 0), (SELECT count(*) FROM public.tenants);
    PERFORM public.set_tenants(before);
END $$;
REVOKE EXECUTE ON FUNCTION tenants_there FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_there TO clarion_api, clarion_worker;
