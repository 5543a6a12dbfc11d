"""Workflow instances with their progress, seen receipts, and the step and the facts behind a delivery."""

from typing import Final

from alembic import op

revision = "state_0002"
down_revision = "state_0001"

_STATEMENTS: Final = (
    """CREATE TABLE instances (
        id BLOB, tenant TEXT, notification_id BLOB NOT NULL, user_id TEXT NOT NULL, workflow TEXT NOT NULL,
        version INTEGER NOT NULL, step TEXT NOT NULL, state TEXT NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER,
        detail TEXT NOT NULL, PRIMARY KEY (id, tenant)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX instances_of ON instances (notification_id, tenant)",
    """CREATE TABLE progress (
        instance_id BLOB, tenant TEXT, sequence INTEGER, at_ms INTEGER NOT NULL, step TEXT NOT NULL, event TEXT NOT NULL,
        detail TEXT NOT NULL, PRIMARY KEY (instance_id, tenant, sequence)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE sightings (
        tenant TEXT, notification_id BLOB, user_id TEXT, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, notification_id, user_id)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE settings (digest BLOB PRIMARY KEY, facts BLOB NOT NULL) WITHOUT ROWID",
    "ALTER TABLE deliveries ADD COLUMN step TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE deliveries ADD COLUMN profile_id INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE deliveries ADD COLUMN setting BLOB",
)


def upgrade() -> None:
    """Add tables and columns."""
    for statement in _STATEMENTS:
        op.execute(statement)
