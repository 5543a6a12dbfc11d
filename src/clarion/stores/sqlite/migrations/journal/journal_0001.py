"""The journal's first schema.

A frame's rowid is `stream_id << 40 | offset`, so a stream is one contiguous run of the table and needs no index. `total`
is the number of events of the stream up to and including the frame. `streams` holds the offset of the last trimmed
frame.
"""

from alembic import op

revision = "journal_0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE streams (
        stream_id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
        trimmed_offset INTEGER NOT NULL DEFAULT 0, trimmed_total INTEGER NOT NULL DEFAULT 0,
        UNIQUE (topic, partition))""",
    """CREATE TABLE frames (
        frame_id INTEGER PRIMARY KEY, appended_ms INTEGER NOT NULL, count INTEGER NOT NULL, total INTEGER NOT NULL,
        payload BLOB NOT NULL)""",
    """CREATE TABLE commits (
        "group" TEXT NOT NULL, partition INTEGER NOT NULL, topic TEXT NOT NULL, "offset" INTEGER NOT NULL,
        mark INTEGER NOT NULL, PRIMARY KEY ("group", partition, topic)) WITHOUT ROWID""",
    """CREATE TABLE leases (
        "group" TEXT NOT NULL, partition INTEGER NOT NULL, owner TEXT NOT NULL, fence INTEGER NOT NULL,
        expires_monotonic_ms INTEGER NOT NULL, PRIMARY KEY ("group", partition)) WITHOUT ROWID""",
    """CREATE TABLE timers (
        sequence INTEGER PRIMARY KEY, timer_id BLOB NOT NULL UNIQUE, due_ms INTEGER NOT NULL, topic TEXT NOT NULL,
        partition INTEGER NOT NULL, payload BLOB NOT NULL)""",
    "CREATE INDEX timers_due ON timers (due_ms)",
    """CREATE TABLE idempotency (
        tenant TEXT NOT NULL, key TEXT NOT NULL, body_hash BLOB NOT NULL, answer BLOB NOT NULL,
        expires_ms INTEGER NOT NULL, PRIMARY KEY (tenant, key)) WITHOUT ROWID""",
    "CREATE INDEX idempotency_expires ON idempotency (expires_ms)",
    # AUTOINCREMENT: a sequence number must not be reused after the newest row was trimmed.
    """CREATE TABLE cancellations (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, subject_id BLOB NOT NULL,
        at_ms INTEGER NOT NULL)""",
    """CREATE TABLE cursors (
        cursor_id BLOB PRIMARY KEY, tenant TEXT NOT NULL, partition INTEGER NOT NULL, status TEXT NOT NULL,
        position INTEGER NOT NULL, planned INTEGER NOT NULL, skipped INTEGER NOT NULL, users INTEGER NOT NULL,
        created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, payload BLOB NOT NULL) WITHOUT ROWID""",
)


def upgrade() -> None:
    """Create the tables of `journal.db`."""
    for statement in _TABLES:
        op.execute(statement)
