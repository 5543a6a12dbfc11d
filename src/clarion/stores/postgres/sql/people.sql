-- People who may sign in, their sessions and links: rows of no tenant. Workers have no use for them.
CREATE TABLE persons (
    person_id text COLLATE "C" PRIMARY KEY, email text NOT NULL, email_key text COLLATE "C" NOT NULL UNIQUE, name text NOT NULL,
    created_ms bigint NOT NULL, updated_ms bigint NOT NULL, is_operator bigint NOT NULL, password text, totp bytea,
    totp_step bigint NOT NULL, recovery text NOT NULL, version bigint NOT NULL
);
CREATE TABLE person_subjects (
    issuer text COLLATE "C", subject text COLLATE "C", person_id text COLLATE "C" NOT NULL, PRIMARY KEY (issuer, subject)
);
CREATE TABLE sessions (
    digest bytea PRIMARY KEY, session_id text COLLATE "C" NOT NULL, person_id text COLLATE "C" NOT NULL,
    in_tenant text COLLATE "C" NOT NULL, method text NOT NULL, created_ms bigint NOT NULL, used_ms bigint NOT NULL,
    expires_ms bigint NOT NULL, address text NOT NULL, agent text NOT NULL
);
CREATE TABLE links (
    digest bytea PRIMARY KEY, link_id text COLLATE "C" NOT NULL, kind text NOT NULL, email text NOT NULL,
    in_tenant text COLLATE "C" NOT NULL, role text NOT NULL, created_by text NOT NULL, created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL
);
CREATE INDEX sessions_of ON sessions (person_id);
CREATE INDEX links_to ON links (kind, in_tenant);
CREATE INDEX documents_member ON documents (key, tenant) WHERE kind = 'member' AND removed = 0;
GRANT SELECT, INSERT, UPDATE, DELETE ON persons, person_subjects, sessions, links TO clarion_api;

-- A person's tenants are looked up across all of them; nothing but their names is returned.
CREATE FUNCTION tenants_of_person(p_person text, p_limit bigint) RETURNS TABLE (tenant text) LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := public.set_tenants('*');
BEGIN
    RETURN QUERY SELECT d.tenant FROM public.documents d WHERE d.kind = 'member' AND d.removed = 0 AND d.key = p_person
        ORDER BY d.tenant LIMIT p_limit;
    PERFORM public.set_tenants(before);
END $$;
REVOKE EXECUTE ON FUNCTION tenants_of_person FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_of_person TO clarion_api;
