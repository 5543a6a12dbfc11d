"""Who is connected to which gateway."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0011"
down_revision = "postgres_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of presence."""
    run_script(op.get_bind(), sql("presence"))
