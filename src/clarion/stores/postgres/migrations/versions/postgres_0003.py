"""Partitions of history by time."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0003"
down_revision = "postgres_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make each table of history the first partition of a partitioned one, and the partitions of the next periods."""
    run_script(op.get_bind(), sql("growth"))
