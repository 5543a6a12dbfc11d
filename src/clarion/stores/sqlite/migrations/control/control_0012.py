"""What definitions name is stored as references, so that nothing is removed while others name it."""

from alembic import op

from clarion.stores.sql.migrated_references import store_named

revision = "control_0012"
down_revision = "control_0011"


def upgrade() -> None:
    """Store what definitions name."""
    store_named(op.get_bind())


def downgrade() -> None:
    """Leave the references: nothing reads them before this."""
