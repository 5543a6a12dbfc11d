"""Documents with their versions and references, what was built of them, and the audit of their changes."""

from typing import Final

from alembic import op

revision = "control_0009"
down_revision = "control_0008"

# The large columns are last: scans do not read them.
_TABLES: Final = {
    "documents": """tenant TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
        removed INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (tenant, kind, key)""",
    "document_versions": """tenant TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tenant, kind, key, version)""",
    "document_references": """tenant TEXT NOT NULL, to_kind TEXT NOT NULL, to_key TEXT NOT NULL, kind TEXT NOT NULL,
        key TEXT NOT NULL, PRIMARY KEY (tenant, to_kind, to_key, kind, key)""",
    "artifacts": """tenant TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, build INTEGER NOT NULL, body TEXT,
        PRIMARY KEY (tenant, kind, key)""",
    "audit": """tenant TEXT NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL, actor_kind TEXT NOT NULL,
        actor_id TEXT NOT NULL, action TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, "before" TEXT,
        "after" TEXT, address TEXT NOT NULL, request_id TEXT NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (tenant, number)""",
}


def upgrade() -> None:
    """Create the tables."""
    for name, columns in _TABLES.items():
        rows = " WITHOUT ROWID" if name == "document_references" else ""
        op.execute(f"CREATE TABLE {name} ({columns}){rows}")
    op.execute("CREATE INDEX document_references_from ON document_references (tenant, kind, key)")


def downgrade() -> None:
    """Drop them."""
    for name in _TABLES:
        op.execute(f"DROP TABLE {name}")
