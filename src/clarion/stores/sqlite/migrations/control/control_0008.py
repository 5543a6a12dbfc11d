"""Networks that keys may be used from, the chain of rotated keys, when and from where keys were last used, and the keys
of user tokens."""

from typing import Final

from alembic import op

revision = "control_0008"
down_revision = "control_0007"

_COLUMNS: Final = (
    "networks TEXT NOT NULL DEFAULT '[]'",
    "replaces TEXT",
    "replaced_by TEXT",
    "last_used_ms INTEGER",
    "last_used_from TEXT",
    "warned_ms INTEGER",
)


def upgrade() -> None:
    """Add the columns and the table."""
    for column in _COLUMNS:
        op.execute(f"ALTER TABLE api_keys ADD COLUMN {column}")
    op.execute(
        "CREATE TABLE key_networks (key_id TEXT NOT NULL, network TEXT NOT NULL, last_ms INTEGER NOT NULL,"
        " PRIMARY KEY (key_id, network)) WITHOUT ROWID"
    )
    op.execute(
        "CREATE TABLE token_keys (tenant TEXT PRIMARY KEY, generation INTEGER NOT NULL,"
        " previous_until_ms INTEGER NOT NULL) WITHOUT ROWID"
    )


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE token_keys")
    op.execute("DROP TABLE key_networks")
    for column in reversed(_COLUMNS):
        op.execute(f"ALTER TABLE api_keys DROP COLUMN {column.partition(' ')[0]}")
