"""Places of inbox items in the order of their arrival, and further marks of users. Items that were stored before get the
places of their old order, which was by id. All of it is one transaction, so a migration that was interrupted begins again.
"""

from typing import Final

from alembic import op

revision = "state_0005"
down_revision = "state_0004"

_TABLES: Final = (
    "CREATE TABLE inbox_epochs (number INTEGER PRIMARY KEY, epoch BLOB NOT NULL) STRICT",
    "INSERT INTO inbox_epochs VALUES (1, randomblob(8))",
    """CREATE TABLE inbox_users (
        tenant TEXT, user_id TEXT, own_seq INTEGER NOT NULL, PRIMARY KEY (tenant, user_id)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE inbox_tenants (tenant TEXT PRIMARY KEY, shared_seq INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    # Deliveries of a recorded chunk that arrived later, such as held ones.
    """CREATE TABLE chunk_arrivals (
        chunk_id BLOB, tenant TEXT, seq INTEGER, at_ms INTEGER NOT NULL, members BLOB NOT NULL,
        PRIMARY KEY (chunk_id, tenant, seq)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE broadcast_collapses (
        tenant TEXT, collapse_key TEXT, broadcast_id BLOB, PRIMARY KEY (tenant, collapse_key, broadcast_id)
        ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE inbox_withdrawals (
        tenant TEXT, notification_id BLOB, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, notification_id)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX inbox_withdrawals_by_seq ON inbox_withdrawals (tenant, seq)",
    "ALTER TABLE inbox_items ADD COLUMN shared_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE inbox_items ADD COLUMN own_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE inbox_items ADD COLUMN category TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE inbox_items ADD COLUMN expires_ms INTEGER",
    "ALTER TABLE inbox_items ADD COLUMN collapse_key TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE inbox_marks ADD COLUMN snoozed_ms INTEGER",
    "ALTER TABLE inbox_marks ADD COLUMN deleted_ms INTEGER",
    "ALTER TABLE inbox_marks ADD COLUMN read_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE inbox_marks ADD COLUMN seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE inbox_horizons ADD COLUMN own_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE inbox_horizons ADD COLUMN shared_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE inbox_horizons ADD COLUMN seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chunk_spans ADD COLUMN seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE broadcast_spans ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE broadcast_spans ADD COLUMN last_seq INTEGER NOT NULL DEFAULT 0",
)
_PLACES: Final = (
    """UPDATE broadcast_spans SET first_seq = p.seq, last_seq = p.seq FROM (
        SELECT tenant, broadcast_id, row_number() OVER (PARTITION BY tenant ORDER BY broadcast_id) AS seq
        FROM broadcast_spans WHERE channel = 'inapp') AS p
        WHERE channel = 'inapp' AND broadcast_spans.tenant = p.tenant AND broadcast_spans.broadcast_id = p.broadcast_id""",
    """UPDATE chunk_spans SET seq = (SELECT last_seq FROM broadcast_spans AS b WHERE b.tenant = chunk_spans.tenant
        AND b.channel = 'inapp' AND b.broadcast_id = chunk_spans.broadcast_id) WHERE channel = 'inapp'""",
    "INSERT INTO inbox_tenants SELECT tenant, max(last_seq) FROM broadcast_spans WHERE channel = 'inapp' GROUP BY tenant",
    """UPDATE inbox_items SET own_seq = p.seq, shared_seq = p.shared FROM (
        SELECT tenant, user_id, item_id, row_number() OVER (PARTITION BY tenant, user_id ORDER BY item_id) AS seq,
            coalesce((SELECT b.last_seq FROM broadcast_spans AS b WHERE b.tenant = i.tenant AND b.channel = 'inapp'
                AND b.broadcast_id < i.item_id ORDER BY b.broadcast_id DESC LIMIT 1), 0) AS shared
        FROM inbox_items AS i) AS p
        WHERE inbox_items.tenant = p.tenant AND inbox_items.user_id = p.user_id AND inbox_items.item_id = p.item_id""",
    "INSERT INTO inbox_users SELECT tenant, user_id, max(own_seq) FROM inbox_items GROUP BY tenant, user_id",
    """UPDATE inbox_horizons SET
        own_seq = coalesce((SELECT max(i.own_seq) FROM inbox_items AS i WHERE i.tenant = inbox_horizons.tenant
            AND i.user_id = inbox_horizons.user_id AND i.item_id <= inbox_horizons.item_id), 0),
        shared_seq = coalesce((SELECT b.last_seq FROM broadcast_spans AS b WHERE b.tenant = inbox_horizons.tenant
            AND b.channel = 'inapp' AND b.broadcast_id <= inbox_horizons.item_id ORDER BY b.broadcast_id DESC LIMIT 1), 0)""",
)
_INDEXES: Final = (
    "CREATE INDEX inbox_items_by_place ON inbox_items (tenant, user_id, shared_seq, own_seq)",
    """CREATE INDEX inbox_items_by_collapse_key ON inbox_items (tenant, user_id, collapse_key, shared_seq, own_seq)
        WHERE collapse_key <> ''""",
    "CREATE INDEX inbox_marks_by_seq ON inbox_marks (tenant, user_id, seq)",
    """CREATE INDEX broadcast_spans_by_arrival
        ON broadcast_spans (tenant, last_seq, first_seq, min_ordinal, max_ordinal, widest) WHERE channel = 'inapp'""",
)


def upgrade() -> None:
    """Add tables and columns, give places, and index them."""
    for statement in (*_TABLES, *_PLACES, *_INDEXES):
        op.execute(statement)
