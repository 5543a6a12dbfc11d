"""Idempotency keys are stored in one order."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql

revision = "postgres_0004"
down_revision = "postgres_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the function that commits steps. It removes the keys of steps that it refuses, for which API processes need a right."""
    run_script(op.get_bind(), sql("schema_journal_steps"))
    op.execute("GRANT DELETE ON journal.idempotency TO clarion_api")
