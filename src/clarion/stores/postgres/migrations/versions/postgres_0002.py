"""Row-level security by tenant, and the roles of processes."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0002"
down_revision = "postgres_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the policies of all tables, and grant what each role needs."""
    run_script(op.get_bind(), sql("tenancy"))
