"""Places of inbox items in the order of their arrival, and further marks of users."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0006"
down_revision = "postgres_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables, columns and functions, and give places to what was stored before."""
    for name in ("inbox_places", "inbox_fold"):
        run_script(op.get_bind(), sql(name))
