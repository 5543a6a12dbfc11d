"""The sequence numbers of producers with the positions of the fold, by which repeated frames are recognised."""

from alembic import op

revision = "state_0004"
down_revision = "state_0003"


def upgrade() -> None:
    """Add the column, empty: no frame was repeated before."""
    op.execute("ALTER TABLE positions ADD COLUMN numbers BLOB")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE positions DROP COLUMN numbers")
