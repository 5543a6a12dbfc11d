"""Categories, templates, layouts and partials become documents. The tables they were in stay, unread."""

from typing import Final

from alembic import op

from clarion.stores.sql.migrated_references import store_references

revision = "control_0010"
down_revision = "control_0009"

_OF: Final = "FROM template_versions v WHERE v.tenant = t.tenant AND v.key = t.key"
_UPGRADE: Final = (
    """INSERT INTO documents SELECT tenant, 'category', key, 1, 0, 0, 0,
        '{"critical":' || iif(critical, 'true', 'false') || ',"priority":"' || lane || '","defaults":' || defaults
        || iif(trim(rules, ' {}') = '', '}', ',' || substr(rules, 2)) FROM categories""",
    f"""INSERT INTO documents SELECT t.tenant, 'template', t.key, 1, t.removed,
        coalesce((SELECT min(v.created_ms) {_OF}), 0),
        coalesce((SELECT max(max(v.created_ms, coalesce(v.published_ms, 0))) {_OF}), 0),
        json_object('newest', t.newest,
            'trail', json((SELECT json_group_array(version) FROM (
                SELECT v.version {_OF} AND v.place IS NOT NULL ORDER BY v.place))),
            'versions', json((SELECT json_group_array(json_object('version', version, 'created_ms', created_ms,
                'created_by', created_by, 'category', category, 'published_ms', published_ms,
                'published_by', published_by, 'note', note)) FROM (SELECT v.* {_OF} ORDER BY v.version))))
        FROM templates t""",  # noqa: S608 - constants
    """INSERT INTO documents SELECT tenant, 'template_source', key || '@' || version, 1, 0, created_ms, created_ms, source
        FROM template_versions""",
    """INSERT INTO artifacts SELECT tenant, 'template', key || '@' || version, builds, built FROM template_versions""",
    """INSERT INTO artifacts SELECT t.tenant, 'template', t.key, v.builds, v.built FROM templates t
        JOIN template_versions v ON v.tenant = t.tenant AND v.key = t.key AND v.version = t.current""",
    """INSERT INTO document_references SELECT DISTINCT t.tenant, 'category', v.category, 'template', t.key FROM templates t
        JOIN template_versions v ON v.tenant = t.tenant AND v.key = t.key AND v.version IN (t.current, t.newest)
        WHERE v.category IS NOT NULL""",
    """INSERT INTO documents SELECT tenant, kind, key, version, removed, created_ms, updated_ms, body FROM definitions d
        WHERE kind IN ('layout', 'partial') AND version = (SELECT max(version) FROM definitions n
            WHERE n.tenant = d.tenant AND n.kind = d.kind AND n.key = d.key)""",
    """INSERT INTO document_versions SELECT tenant, kind, key, version, updated_ms, body FROM definitions d
        WHERE kind IN ('layout', 'partial') AND version < (SELECT max(version) FROM definitions n
            WHERE n.tenant = d.tenant AND n.kind = d.kind AND n.key = d.key)""",
)


def upgrade() -> None:
    """Copy what is stored."""
    for statement in _UPGRADE:
        op.execute(statement)
    store_references(op.get_bind())


def downgrade() -> None:
    """Remove the copies; what was changed since is lost."""
    for table in ("document_references", "artifacts", "document_versions", "documents"):
        op.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
