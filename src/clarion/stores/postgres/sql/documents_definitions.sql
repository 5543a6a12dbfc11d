-- All other definitions become documents, too. The table they were in stays, unread.
SELECT set_tenants('*');
WITH newest AS (
    SELECT tenant, kind, key, max(version) AS version FROM definitions WHERE kind NOT IN ('layout', 'partial')
    GROUP BY tenant, kind, key
)
INSERT INTO documents (tenant, kind, key, version, removed, created_ms, updated_ms, body)
SELECT d.tenant, d.kind, d.key, d.version, d.removed::int, d.created_ms, d.updated_ms, d.body
FROM definitions d JOIN newest USING (tenant, kind, key, version);
INSERT INTO document_versions (tenant, kind, key, version, updated_ms, body)
SELECT d.tenant, d.kind, d.key, d.version, d.updated_ms, d.body FROM definitions d
JOIN documents n ON n.tenant = d.tenant AND n.kind = d.kind AND n.key = d.key AND n.version > d.version
WHERE d.kind NOT IN ('layout', 'partial');
SELECT set_tenants('');
