"""Which processes are at work, and up to which feature level each reads."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0005"
down_revision = "postgres_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the function that raises the level."""
    run_script(op.get_bind(), sql("feature_level"))
