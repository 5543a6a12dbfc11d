"""Accounts name the references among their credentials."""

from alembic import op

revision = "control_0007"
down_revision = "control_0006"


def upgrade() -> None:
    """Add the column; existing credentials are all given by value."""
    op.execute("ALTER TABLE providers ADD COLUMN credential_references TEXT NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    """Remove the column. Accounts with references are left without credentials that work."""
    op.execute("ALTER TABLE providers DROP COLUMN credential_references")
