"""The state store's first schema.

Ids grow with time, so tables keyed by them grow at one end and need no index except their key. Keys of `deliveries` and
its dependent tables start with the id because the frames that change them hold no tenant; lists are by tenant.
"""

from alembic import op

revision = "state_0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    """CREATE TABLE positions (
        partition INTEGER PRIMARY KEY, "offset" INTEGER NOT NULL, fence INTEGER NOT NULL)""",
    """CREATE TABLE notifications (
        tenant TEXT, id BLOB, accepted_ms INTEGER NOT NULL, planned_ms INTEGER, scheduled_ms INTEGER,
        lane TEXT NOT NULL, category TEXT NOT NULL, template TEXT NOT NULL, request BLOB NOT NULL,
        PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE cancellations (tenant TEXT, id BLOB, at_ms INTEGER NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID",
    """CREATE TABLE deliveries (
        id BLOB, tenant TEXT, user_id TEXT NOT NULL, channel TEXT NOT NULL, address TEXT NOT NULL,
        state INTEGER NOT NULL, reason INTEGER NOT NULL, detail TEXT NOT NULL, attempt INTEGER NOT NULL,
        repeats INTEGER NOT NULL, provider TEXT NOT NULL, vendor TEXT NOT NULL, vendor_message_id TEXT NOT NULL,
        planned_ms INTEGER NOT NULL, started_ms INTEGER, finished_ms INTEGER, retry_ms INTEGER,
        accepted_attempt INTEGER NOT NULL, accepted_ms INTEGER, chunk_id BLOB, chunk_index INTEGER NOT NULL,
        PRIMARY KEY (id, tenant)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE attempts (
        delivery_id BLOB, tenant TEXT, attempt INTEGER, finished_ms INTEGER, started_ms INTEGER NOT NULL,
        event TEXT, outcome TEXT NOT NULL, reason INTEGER NOT NULL, detail TEXT NOT NULL, provider TEXT NOT NULL,
        vendor TEXT NOT NULL, vendor_message_id TEXT NOT NULL, retry_ms INTEGER, repeats INTEGER NOT NULL,
        applied INTEGER NOT NULL,
        PRIMARY KEY (delivery_id, tenant, attempt, finished_ms, event)) STRICT, WITHOUT ROWID""",
    # The wide columns are last: a query that reads only the first columns does not touch their overflow pages.
    """CREATE TABLE chunks (
        chunk_id BLOB, tenant TEXT, channel TEXT NOT NULL, locale TEXT NOT NULL, category TEXT NOT NULL,
        planned_ms INTEGER NOT NULL, expires_ms INTEGER, count INTEGER NOT NULL, min_ordinal INTEGER NOT NULL,
        max_ordinal INTEGER NOT NULL, content BLOB NOT NULL, data BLOB NOT NULL, metadata BLOB NOT NULL,
        ordinals BLOB NOT NULL, user_ids BLOB NOT NULL, addresses BLOB NOT NULL, users BLOB NOT NULL,
        PRIMARY KEY (chunk_id, tenant)) STRICT""",
    """CREATE TABLE chunk_states (
        chunk_id BLOB, tenant TEXT, channel TEXT NOT NULL, states BLOB NOT NULL, reasons BLOB NOT NULL,
        intents BLOB NOT NULL, provider TEXT NOT NULL, vendor TEXT NOT NULL, finished_ms INTEGER,
        PRIMARY KEY (chunk_id, tenant)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE chunk_spans (
        tenant TEXT, broadcast_id BLOB, channel TEXT, min_ordinal INTEGER, chunk_id BLOB, max_ordinal INTEGER NOT NULL,
        PRIMARY KEY (tenant, broadcast_id, channel, min_ordinal, chunk_id)) WITHOUT ROWID""",
    # `widest` is the largest max_ordinal - min_ordinal of any chunk: how far below an ordinal its chunk can begin.
    """CREATE TABLE broadcast_spans (
        tenant TEXT, channel TEXT, broadcast_id BLOB, min_ordinal INTEGER NOT NULL, max_ordinal INTEGER NOT NULL,
        widest INTEGER NOT NULL, PRIMARY KEY (tenant, channel, broadcast_id)) WITHOUT ROWID""",
    """CREATE TABLE broadcast_totals (
        tenant TEXT, broadcast_id BLOB, channel TEXT, state INTEGER, reason INTEGER, count INTEGER NOT NULL,
        PRIMARY KEY (tenant, broadcast_id, channel, state, reason)) WITHOUT ROWID""",
    """CREATE TABLE inbox_items (
        tenant TEXT, user_id TEXT, item_id BLOB, created_ms INTEGER NOT NULL, content BLOB NOT NULL,
        PRIMARY KEY (tenant, user_id, item_id)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE inbox_marks (
        tenant TEXT, user_id TEXT, item_id BLOB, seen_ms INTEGER, read_ms INTEGER, archived_ms INTEGER,
        PRIMARY KEY (tenant, user_id, item_id)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE inbox_horizons (
        tenant TEXT, user_id TEXT, item_id BLOB NOT NULL, at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, user_id)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE captures (
        tenant TEXT, delivery_id BLOB, attempt INTEGER, user_id TEXT NOT NULL, channel TEXT NOT NULL,
        address TEXT NOT NULL, provider TEXT NOT NULL, captured_ms INTEGER NOT NULL, content BLOB NOT NULL,
        PRIMARY KEY (tenant, delivery_id, attempt)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE dead_letters (
        tenant TEXT, delivery_id BLOB, channel TEXT NOT NULL, user_id TEXT NOT NULL, reason INTEGER NOT NULL,
        detail TEXT NOT NULL, attempt INTEGER NOT NULL, dead_ms INTEGER NOT NULL, payload BLOB NOT NULL,
        replayed_ms INTEGER, claimed_ms INTEGER, PRIMARY KEY (tenant, delivery_id)) STRICT""",
    """CREATE TABLE counters (
        tenant TEXT, minute_ms INTEGER, channel TEXT, what TEXT, reason INTEGER, count INTEGER NOT NULL,
        PRIMARY KEY (tenant, minute_ms, channel, what, reason)) WITHOUT ROWID""",
)


def upgrade() -> None:
    """Create the tables."""
    for table in _TABLES:
        op.execute(table)
