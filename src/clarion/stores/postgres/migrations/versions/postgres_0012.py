"""People who may sign in, their sessions and links."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0012"
down_revision = "postgres_0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables with their grants, and the function that finds a person's tenants."""
    run_script(op.get_bind(), sql("people"))
