"""All other definitions become documents, too. The table they were in stays, unread."""

from typing import Final

from alembic import op

revision = "control_0011"
down_revision = "control_0010"

_NEWEST: Final = (
    "SELECT max(version) FROM definitions n WHERE n.tenant = d.tenant AND n.kind = d.kind AND n.key = d.key"
)
_OTHERS: Final = "FROM definitions d WHERE kind NOT IN ('layout', 'partial')"


def upgrade() -> None:
    """Copy what is stored."""
    op.execute(
        "INSERT INTO documents SELECT tenant, kind, key, version, removed, created_ms, updated_ms, body"
        f" {_OTHERS} AND version = ({_NEWEST})"
    )
    op.execute(
        "INSERT INTO document_versions SELECT tenant, kind, key, version, updated_ms, body"
        f" {_OTHERS} AND version < ({_NEWEST})"
    )


def downgrade() -> None:
    """Remove the copies; what was changed since is lost."""
    for table in ("documents", "document_versions"):
        op.execute(f"DELETE FROM {table} WHERE kind IN (SELECT kind {_OTHERS})")  # noqa: S608 - constants
