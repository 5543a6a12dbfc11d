"""The numbers of producers beside the positions of the fold, by which repeated frames are known."""

from alembic import op

revision = "state_0004"
down_revision = "state_0003"


def upgrade() -> None:
    """Add the column; nothing repeated before."""
    op.execute("ALTER TABLE positions ADD COLUMN numbers BLOB")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE positions DROP COLUMN numbers")
