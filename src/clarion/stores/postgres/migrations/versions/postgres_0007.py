"""Documents and their audit."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0007"
down_revision = "postgres_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, with policies and grants."""
    run_script(op.get_bind(), sql("documents"))
