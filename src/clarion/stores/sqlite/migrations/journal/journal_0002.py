"""State of planning (cells), waits for signals, cap times of users, and timers by urgency."""

from typing import Final

from alembic import op

revision = "journal_0002"
down_revision = "journal_0001"

_STATEMENTS: Final = (
    """CREATE TABLE cells (
        partition INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (partition, key)
    ) WITHOUT ROWID""",
    """CREATE TABLE waits (
        tenant TEXT NOT NULL, key BLOB NOT NULL, subject BLOB NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL, PRIMARY KEY (tenant, key, subject)) WITHOUT ROWID""",
    "CREATE INDEX waits_expires ON waits (expires_ms)",
    """CREATE TABLE caps (
        tenant TEXT NOT NULL, rule BLOB NOT NULL, block INTEGER NOT NULL, times BLOB NOT NULL,
        PRIMARY KEY (tenant, block, rule)) WITHOUT ROWID""",
    # The rank of the lane that the topic ends in, 0 for the most urgent; 4 is for topics without a lane.
    "ALTER TABLE timers ADD COLUMN urgency INTEGER NOT NULL DEFAULT 4",
    """UPDATE timers SET urgency = CASE
        WHEN topic LIKE '%.critical' THEN 0 WHEN topic LIKE '%.high' THEN 1
        WHEN topic LIKE '%.normal' THEN 2 WHEN topic LIKE '%.bulk' THEN 3 ELSE 4 END""",
    "DROP INDEX timers_due",
    "CREATE INDEX timers_due ON timers (urgency, due_ms)",
)


def upgrade() -> None:
    """Add the tables, and set the urgency of existing timers."""
    for statement in _STATEMENTS:
        op.execute(statement)
