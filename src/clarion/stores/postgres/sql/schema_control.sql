-- Definitions, users and keys. Keys of lists are compared by bytes (COLLATE "C"), in every locale of a database.
CREATE TABLE facts (name text PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE revisions (id int PRIMARY KEY CHECK (id = 1), number bigint NOT NULL);
CREATE TABLE tenant_revisions (tenant text COLLATE "C" PRIMARY KEY, number bigint NOT NULL);
CREATE INDEX tenant_revisions_number ON tenant_revisions (number);
CREATE TABLE tenants (
    tenant text COLLATE "C" PRIMARY KEY, name text NOT NULL, defaults text NOT NULL,
    created_ms bigint NOT NULL, updated_ms bigint NOT NULL
);
CREATE TABLE token_keys (
    tenant text COLLATE "C" PRIMARY KEY, generation bigint NOT NULL, previous_until_ms bigint NOT NULL
);
-- A key is looked up by its id alone: the tenant is what it answers.
CREATE TABLE api_keys (
    tenant text COLLATE "C", key_id text COLLATE "C" UNIQUE, name text NOT NULL, digest bytea NOT NULL,
    scopes text NOT NULL, created_ms bigint NOT NULL, expires_ms bigint, revoked_ms bigint, networks text NOT NULL,
    replaces text, replaced_by text, last_used_ms bigint, last_used_from text, warned_ms bigint,
    PRIMARY KEY (tenant, key_id)
);
CREATE INDEX api_keys_expiring ON api_keys (expires_ms, key_id) WHERE revoked_ms IS NULL AND replaced_by IS NULL;
CREATE TABLE key_networks (
    tenant text COLLATE "C", key_id text COLLATE "C", network text COLLATE "C", last_ms bigint NOT NULL,
    PRIMARY KEY (tenant, key_id, network)
);
CREATE TABLE quotas (tenant text COLLATE "C", key_id text COLLATE "C", quota text NOT NULL, PRIMARY KEY (tenant, key_id));

CREATE TABLE profiles (
    tenant text COLLATE "C", profile_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE, digest bytea NOT NULL,
    zone text NOT NULL, preferences text NOT NULL, quiet_hours text NOT NULL, PRIMARY KEY (tenant, digest)
);
-- users_page covers the columns that planning reads, so that a page of an audience is one scan of an index.
-- device_kinds repeats what the packed devices hold, for filters.
CREATE TABLE users (
    tenant text COLLATE "C", user_id text COLLATE "C", ordinal bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    profile_id bigint NOT NULL, created_ms bigint NOT NULL, updated_ms bigint NOT NULL, last_seen_ms bigint,
    email text, phone text, whatsapp text, chat text, webhook text, locale text NOT NULL, zone text NOT NULL,
    devices bytea, device_kinds text[], attributes text, more_contacts text, PRIMARY KEY (tenant, user_id)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX users_page ON users (tenant, ordinal) INCLUDE (user_id, profile_id, locale);
CREATE TABLE consents (
    tenant text COLLATE "C", ordinal bigint, sequence bigint, at_ms bigint NOT NULL, category text NOT NULL,
    channel text NOT NULL, allowed boolean, until_ms bigint, source text NOT NULL,
    PRIMARY KEY (tenant, ordinal, sequence)
);
CREATE TABLE topics (
    tenant text COLLATE "C", key text COLLATE "C", name text NOT NULL, created_ms bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE TABLE topic_members (
    tenant text COLLATE "C", topic text COLLATE "C", ordinal bigint, PRIMARY KEY (tenant, topic, ordinal)
);
-- For erasures. A hash has no order, in which the planner would read audiences in place of the primary key's.
CREATE INDEX topic_members_ordinal ON topic_members USING hash (ordinal);

CREATE TABLE categories (
    tenant text COLLATE "C", key text COLLATE "C", critical boolean NOT NULL, lane text NOT NULL, defaults text NOT NULL,
    rules text NOT NULL, PRIMARY KEY (tenant, key)
);
CREATE TABLE templates (
    tenant text COLLATE "C", key text COLLATE "C", newest bigint NOT NULL, current bigint, removed boolean NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE TABLE template_versions (
    tenant text COLLATE "C", key text COLLATE "C", version bigint, category text COLLATE "C", place bigint,
    builds bigint NOT NULL, created_ms bigint NOT NULL, created_by text NOT NULL, published_ms bigint, published_by text,
    note text NOT NULL, source text NOT NULL, built text NOT NULL, PRIMARY KEY (tenant, key, version)
);
CREATE INDEX template_versions_category ON template_versions (tenant, category) WHERE category IS NOT NULL;
CREATE TABLE definitions (
    tenant text COLLATE "C", kind text COLLATE "C", key text COLLATE "C", version bigint, removed boolean NOT NULL,
    created_ms bigint NOT NULL, updated_ms bigint NOT NULL, body text NOT NULL, PRIMARY KEY (tenant, kind, key, version)
);
CREATE UNIQUE INDEX definitions_current ON definitions (tenant, kind, key) WHERE NOT removed;
CREATE TABLE providers (
    tenant text COLLATE "C", name text COLLATE "C", channel text NOT NULL, vendor text NOT NULL, priority bigint NOT NULL,
    enabled boolean NOT NULL, settings text NOT NULL, credential_names text NOT NULL, credential_references text NOT NULL,
    sealed bytea NOT NULL, rules text NOT NULL, version bigint NOT NULL, created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL, PRIMARY KEY (tenant, name)
);
CREATE TABLE suppressions (
    tenant text COLLATE "C", channel text COLLATE "C", address text COLLATE "C", reason text NOT NULL,
    created_ms bigint NOT NULL, expires_ms bigint, PRIMARY KEY (tenant, channel, address)
);

-- JSON text that may hold U+0000, which jsonb does not: U+FFFF, which is no character, stands for it.
CREATE FUNCTION readable_json(given text) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN position('\u0000' in given) = 0 THEN given::jsonb
        ELSE regexp_replace(given, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\uffff', 'g')::jsonb END
$$;
