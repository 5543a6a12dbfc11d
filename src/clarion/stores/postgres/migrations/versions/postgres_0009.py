"""All other definitions become documents."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0009"
down_revision = "postgres_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Copy what is stored."""
    run_script(op.get_bind(), sql("documents_definitions"))
