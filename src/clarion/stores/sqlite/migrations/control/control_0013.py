"""People who may sign in, their sessions and links."""

from typing import Final

from alembic import op

revision = "control_0013"
down_revision = "control_0012"

_TABLES: Final = {
    "persons": """person_id TEXT NOT NULL PRIMARY KEY, email TEXT NOT NULL, email_key TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, is_operator INTEGER NOT NULL, password TEXT, totp BLOB,
        totp_step INTEGER NOT NULL, recovery TEXT NOT NULL, version INTEGER NOT NULL""",
    "person_subjects": """issuer TEXT NOT NULL, subject TEXT NOT NULL, person_id TEXT NOT NULL,
        PRIMARY KEY (issuer, subject)""",
    "sessions": """digest BLOB NOT NULL PRIMARY KEY, session_id TEXT NOT NULL, person_id TEXT NOT NULL, in_tenant TEXT NOT NULL,
        method TEXT NOT NULL, created_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
        address TEXT NOT NULL, agent TEXT NOT NULL""",
    "links": """digest BLOB NOT NULL PRIMARY KEY, link_id TEXT NOT NULL, kind TEXT NOT NULL, email TEXT NOT NULL,
        in_tenant TEXT NOT NULL, role TEXT NOT NULL, created_by TEXT NOT NULL, created_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL""",
}
_INDEXES: Final = {
    "sessions_of": "sessions (person_id)",
    "links_to": "links (kind, in_tenant)",
    "documents_member": "documents (key, tenant) WHERE kind = 'member' AND removed = 0",
}


def upgrade() -> None:
    """Create the tables, and the index that finds a person's tenants."""
    for name, columns in _TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    for name, on in _INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {on}")


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX documents_member")
    for name in _TABLES:
        op.execute(f"DROP TABLE {name}")
