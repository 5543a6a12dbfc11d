"""Templates with all their versions: the source, and the template built from it.

An existing template becomes its only version, under the number it had, published.
"""

from typing import Final

from alembic import op

revision = "control_0003"
down_revision = "control_0002"

# The large columns are last: scans over versions do not read them.
_UPGRADE: Final = (
    "ALTER TABLE templates RENAME TO templates_before",
    """CREATE TABLE templates (
        tenant TEXT NOT NULL, key TEXT NOT NULL, newest INTEGER NOT NULL, current INTEGER, removed INTEGER NOT NULL,
        PRIMARY KEY (tenant, key)) WITHOUT ROWID""",
    """CREATE TABLE template_versions (
        tenant TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, category TEXT, place INTEGER,
        builds INTEGER NOT NULL, created_ms INTEGER NOT NULL, created_by TEXT NOT NULL, published_ms INTEGER,
        published_by TEXT, note TEXT NOT NULL, source TEXT NOT NULL, built TEXT NOT NULL,
        PRIMARY KEY (tenant, key, version))""",
    "INSERT INTO templates SELECT tenant, key, version, version, 0 FROM templates_before",
    """INSERT INTO template_versions
        SELECT tenant, key, version, category, 1, 1, updated_ms, '', updated_ms, '', '',
            json_object('channels', json(parts), 'category', category),
            json_object('key', key, 'version', version, 'category', category, 'parts', json(parts),
                        'variables', json(variables), 'uses_user', json(iif(uses_user, 'true', 'false')))
        FROM templates_before""",
    "DROP TABLE templates_before",
)
_DOWNGRADE: Final = (
    "ALTER TABLE templates RENAME TO templates_after",
    """CREATE TABLE templates (
        tenant TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, category TEXT, parts TEXT NOT NULL,
        variables TEXT NOT NULL, uses_user INTEGER NOT NULL, updated_ms INTEGER NOT NULL, PRIMARY KEY (tenant, key)
    )""",
    """INSERT INTO templates
        SELECT v.tenant, v.key, v.version, v.category, json_extract(v.built, '$.parts'),
            coalesce(json_extract(v.built, '$.variables'), '[]'),
            coalesce(json_extract(v.built, '$.uses_user'), 0), v.published_ms
        FROM templates_after t JOIN template_versions v
            ON v.tenant = t.tenant AND v.key = t.key AND v.version = t.current""",
    "DROP TABLE templates_after",
    "DROP TABLE template_versions",
)


def upgrade() -> None:
    """Convert existing templates to versions."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Convert current versions back to templates; other versions and locales are dropped."""
    for statement in _DOWNGRADE:
        op.execute(statement)
