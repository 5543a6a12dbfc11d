-- Documents with their versions and references, what was built of them, and the audit of their changes.
CREATE TABLE documents (
    tenant text COLLATE "C", kind text COLLATE "C", key text COLLATE "C", version bigint NOT NULL, removed bigint NOT NULL,
    created_ms bigint NOT NULL, updated_ms bigint NOT NULL, body text NOT NULL, PRIMARY KEY (tenant, kind, key)
);
CREATE TABLE document_versions (
    tenant text COLLATE "C", kind text COLLATE "C", key text COLLATE "C", version bigint, updated_ms bigint NOT NULL,
    body text NOT NULL, PRIMARY KEY (tenant, kind, key, version)
);
CREATE TABLE document_references (
    tenant text COLLATE "C", to_kind text COLLATE "C", to_key text COLLATE "C", kind text COLLATE "C", key text COLLATE "C",
    PRIMARY KEY (tenant, to_kind, to_key, kind, key)
);
CREATE INDEX document_references_from ON document_references (tenant, kind, key);
CREATE TABLE artifacts (
    tenant text COLLATE "C", kind text COLLATE "C", key text COLLATE "C", build bigint NOT NULL, body text,
    PRIMARY KEY (tenant, kind, key)
);
CREATE TABLE audit (
    tenant text COLLATE "C", number bigint, at_ms bigint NOT NULL, actor_kind text NOT NULL, actor_id text NOT NULL,
    action text NOT NULL, kind text NOT NULL, key text NOT NULL, before text, after text, address text NOT NULL,
    request_id text NOT NULL, reason text NOT NULL, PRIMARY KEY (tenant, number)
);
SELECT protect_rows(name::regclass) FROM unnest(ARRAY['documents', 'document_versions', 'document_references', 'artifacts',
    'audit']) AS name;
GRANT SELECT, INSERT, UPDATE, DELETE ON documents, document_versions, document_references, artifacts
    TO clarion_api, clarion_worker;
-- Nobody changes what was recorded.
GRANT SELECT, INSERT ON audit TO clarion_api, clarion_worker;
