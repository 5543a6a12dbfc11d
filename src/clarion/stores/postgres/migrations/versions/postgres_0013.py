"""The number of tenants, by which a copy without them is told from an installation without any."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0013"
down_revision = "postgres_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Count the tenants, now and with each that is made."""
    run_script(op.get_bind(), sql("tenant_count"))
