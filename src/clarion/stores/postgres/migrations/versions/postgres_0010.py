"""What definitions name is stored as references, so that nothing is removed while others name it."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.sql.migrated_references import store_named

revision = "postgres_0010"
down_revision = "postgres_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Store what definitions name."""
    run_script(op.get_bind(), "SELECT set_tenants('*')")
    store_named(op.get_bind())
    run_script(op.get_bind(), "SELECT set_tenants('')")
