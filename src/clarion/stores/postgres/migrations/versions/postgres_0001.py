"""The first schema: the files `sql/schema_*.sql`, in the order of their names."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import schema_files, sql

revision = "postgres_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables and functions."""
    for name in schema_files():
        run_script(op.get_bind(), sql(name))
