"""Versioned definitions, rules of categories, quiet hours, consent history and quotas."""

from typing import Final

from alembic import op

revision = "control_0002"
down_revision = "control_0001"

_STATEMENTS: Final = (
    """CREATE TABLE definitions (
        tenant TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
        removed INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, kind, key, version)) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX definitions_current ON definitions (tenant, kind, key) WHERE removed = 0",
    "ALTER TABLE categories ADD COLUMN rules TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE profiles ADD COLUMN quiet_hours TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE users ADD COLUMN more_contacts TEXT",
    "ALTER TABLE users ADD COLUMN last_seen_ms INTEGER",
    """CREATE TABLE consents (
        tenant TEXT NOT NULL, ordinal INTEGER NOT NULL, sequence INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        category TEXT NOT NULL, channel TEXT NOT NULL, allowed INTEGER, until_ms INTEGER, source TEXT NOT NULL,
        PRIMARY KEY (tenant, ordinal, sequence)) WITHOUT ROWID""",
    """CREATE TABLE quotas (
        tenant TEXT NOT NULL, key_id TEXT NOT NULL, quota TEXT NOT NULL, PRIMARY KEY (tenant, key_id)
    ) WITHOUT ROWID""",
)


def upgrade() -> None:
    """Add tables and columns."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for table in ("quotas", "consents", "definitions"):
        op.execute(f"DROP TABLE {table}")
    for table, column in (
        ("users", "last_seen_ms"), ("users", "more_contacts"), ("profiles", "quiet_hours"), ("categories", "rules"),
    ):  # fmt: skip
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
