"""Which processes are at work, and up to which feature level each reads."""

from alembic import op

revision = "journal_0004"
down_revision = "journal_0003"


def upgrade() -> None:
    """Add the table. Without a row in `meta`, the level of the store is 0."""
    op.execute(
        "CREATE TABLE processes (process TEXT PRIMARY KEY, level INTEGER NOT NULL, expires_monotonic_ms INTEGER NOT NULL)"
        " WITHOUT ROWID"
    )
