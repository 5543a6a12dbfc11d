"""Tenants, keys, users, definitions, provider accounts and suppressions."""

from typing import Final

from alembic import op

revision = "control_0001"
down_revision = None

# Users: AUTOINCREMENT, because audiences are stored as sets of ordinals and an erased user's ordinal must not be
# reused. users_page covers the columns planning reads, so that a page of an audience is one range scan.
_STATEMENTS: Final = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE revisions (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL);
INSERT INTO revisions VALUES (1, 1);
CREATE TABLE tenants (
    tenant TEXT PRIMARY KEY, name TEXT NOT NULL, defaults TEXT NOT NULL,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE api_keys (
    key_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, digest BLOB NOT NULL, scopes TEXT NOT NULL,
    created_ms INTEGER NOT NULL, expires_ms INTEGER, revoked_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX api_keys_tenant ON api_keys (tenant, key_id);
CREATE TABLE profiles (
    profile_id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, zone TEXT NOT NULL, preferences TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE
);
CREATE TABLE users (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, user_id TEXT NOT NULL,
    profile_id INTEGER NOT NULL, email TEXT, phone TEXT, whatsapp TEXT, chat TEXT, webhook TEXT,
    locale TEXT NOT NULL, zone TEXT NOT NULL, devices BLOB, attributes TEXT,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX users_id ON users (tenant, user_id);
CREATE INDEX users_page ON users (tenant, ordinal, user_id, profile_id, locale);
CREATE TABLE topics (
    tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, created_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE TABLE topic_members (
    tenant TEXT NOT NULL, topic TEXT NOT NULL, ordinal INTEGER NOT NULL, PRIMARY KEY (tenant, topic, ordinal)
) WITHOUT ROWID;
CREATE INDEX topic_members_ordinal ON topic_members (ordinal);
CREATE TABLE categories (
    tenant TEXT NOT NULL, key TEXT NOT NULL, critical INTEGER NOT NULL, lane TEXT NOT NULL, defaults TEXT NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE TABLE templates (
    tenant TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, category TEXT, parts TEXT NOT NULL,
    variables TEXT NOT NULL, uses_user INTEGER NOT NULL, updated_ms INTEGER NOT NULL, PRIMARY KEY (tenant, key)
);
CREATE TABLE providers (
    tenant TEXT NOT NULL, name TEXT NOT NULL, channel TEXT NOT NULL, vendor TEXT NOT NULL, priority INTEGER NOT NULL,
    enabled INTEGER NOT NULL, settings TEXT NOT NULL, credential_names TEXT NOT NULL, sealed BLOB NOT NULL,
    version INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, PRIMARY KEY (tenant, name)
);
CREATE TABLE suppressions (
    tenant TEXT NOT NULL, channel TEXT NOT NULL, address TEXT NOT NULL, reason TEXT NOT NULL,
    created_ms INTEGER NOT NULL, expires_ms INTEGER, PRIMARY KEY (tenant, channel, address)
) WITHOUT ROWID
"""


def upgrade() -> None:
    """Create every table."""
    for statement in _STATEMENTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    """Drop every table."""
    for table in (
        "suppressions", "providers", "templates", "categories", "topic_members", "topics", "users", "profiles",
        "api_keys", "tenants", "revisions", "facts",
    ):  # fmt: skip
        op.execute(f"DROP TABLE {table}")
