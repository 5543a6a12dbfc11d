"""A revision for each tenant: the number of the last change of its definitions; the empty tenant's is the
operator's."""

from alembic import op

revision = "control_0005"
down_revision = "control_0004"


def upgrade() -> None:
    """Add the table, empty: there are no changes to record yet."""
    op.execute("CREATE TABLE tenant_revisions (tenant TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID")
    op.execute("CREATE INDEX tenant_revisions_number ON tenant_revisions (number)")


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE tenant_revisions")
