"""Categories, templates, layouts and partials become documents."""

from alembic import op

from clarion.stores.postgres.migrate import run_script
from clarion.stores.postgres.sql_files import sql
from clarion.stores.sql.migrated_references import store_references

revision = "postgres_0008"
down_revision = "postgres_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Copy what is stored."""
    run_script(op.get_bind(), sql("documents_content"))
    store_references(op.get_bind())
    run_script(op.get_bind(), "SELECT set_tenants('')")
