"""Changes of account health, and an index of the provider message ids by which receipts name deliveries."""

from typing import Final

from alembic import op

revision = "state_0003"
down_revision = "state_0002"

_STATEMENTS: Final = (
    """CREATE TABLE standings (
        tenant TEXT, at_ms INTEGER, provider TEXT, sequence INTEGER, channel TEXT NOT NULL, vendor TEXT NOT NULL,
        before TEXT NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL,
        PRIMARY KEY (tenant, at_ms, provider, sequence)) STRICT, WITHOUT ROWID""",
    # Partial: only vendors that do not return Clarion's reference are looked up by their own ids.
    """CREATE INDEX deliveries_by_vendor_id ON deliveries (vendor_message_id, tenant)
        WHERE vendor IN ('termii', 'twilio', 'ses') AND vendor_message_id <> ''""",
)


def upgrade() -> None:
    """Add table and index."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX deliveries_by_vendor_id")
    op.execute("DROP TABLE standings")
