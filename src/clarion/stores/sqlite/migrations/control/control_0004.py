"""Rules of provider accounts: weight, limits, breaker and the meaning of an unknown result."""

from alembic import op

revision = "control_0004"
down_revision = "control_0003"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE providers ADD COLUMN rules TEXT NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE providers DROP COLUMN rules")
