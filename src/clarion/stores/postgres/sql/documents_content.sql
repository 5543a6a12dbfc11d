-- Categories, templates, layouts and partials become documents. The tables they were in stay, unread.
SELECT set_tenants('*');
INSERT INTO documents (tenant, kind, key, version, removed, created_ms, updated_ms, body)
SELECT tenant, 'category', key, 1, 0, 0, 0,
    '{"critical":' || critical::text || ',"priority":"' || lane || '","defaults":' || defaults
    || CASE WHEN trim(rules, ' {}') = '' THEN '}' ELSE ',' || substr(rules, 2) END FROM categories;
INSERT INTO documents (tenant, kind, key, version, removed, created_ms, updated_ms, body)
SELECT t.tenant, 'template', t.key, 1, t.removed::int, coalesce(v.created_ms, 0), coalesce(v.updated_ms, 0),
    json_build_object('newest', t.newest, 'trail', coalesce(v.trail, '[]'), 'versions', coalesce(v.versions, '[]'))::text
FROM templates t LEFT JOIN LATERAL (
    SELECT min(created_ms) AS created_ms, max(greatest(created_ms, published_ms)) AS updated_ms,
        json_agg(version ORDER BY place) FILTER (WHERE place IS NOT NULL) AS trail,
        json_agg(json_build_object('version', version, 'created_ms', created_ms, 'created_by', created_by,
            'category', category, 'published_ms', published_ms, 'published_by', published_by, 'note', note)
            ORDER BY version) AS versions
    FROM template_versions WHERE tenant = t.tenant AND key = t.key
) v ON true;
INSERT INTO documents (tenant, kind, key, version, removed, created_ms, updated_ms, body)
SELECT tenant, 'template_source', key || '@' || version, 1, 0, created_ms, created_ms, source FROM template_versions;
INSERT INTO artifacts (tenant, kind, key, build, body)
SELECT tenant, 'template', key || '@' || version, builds, built FROM template_versions;
INSERT INTO artifacts (tenant, kind, key, build, body)
SELECT t.tenant, 'template', t.key, v.builds, v.built FROM templates t
JOIN template_versions v ON v.tenant = t.tenant AND v.key = t.key AND v.version = t.current;
INSERT INTO document_references (tenant, to_kind, to_key, kind, key)
SELECT DISTINCT t.tenant, 'category', v.category, 'template', t.key FROM templates t
JOIN template_versions v ON v.tenant = t.tenant AND v.key = t.key AND v.version IN (t.current, t.newest)
WHERE v.category IS NOT NULL;
WITH newest AS (
    SELECT tenant, kind, key, max(version) AS version FROM definitions WHERE kind IN ('layout', 'partial')
    GROUP BY tenant, kind, key
)
INSERT INTO documents (tenant, kind, key, version, removed, created_ms, updated_ms, body)
SELECT d.tenant, d.kind, d.key, d.version, d.removed::int, d.created_ms, d.updated_ms, d.body
FROM definitions d JOIN newest USING (tenant, kind, key, version);
INSERT INTO document_versions (tenant, kind, key, version, updated_ms, body)
SELECT d.tenant, d.kind, d.key, d.version, d.updated_ms, d.body FROM definitions d
JOIN documents n ON n.tenant = d.tenant AND n.kind = d.kind AND n.key = d.key AND n.version > d.version
WHERE d.kind IN ('layout', 'partial');
