"""The tables of the control store for building statements; the migrations of each engine create them."""

from typing import Final

from sqlalchemy import Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from clarion.stores.sql.statement import typed

METADATA: Final = MetaData()
POSTGRESQL_ONLY: Final = frozenset({("key_networks", "tenant"), ("users", "device_kinds")})
"""Columns that SQLite has not: there ids of keys lead to a tenant, and filters unpack devices."""


def _table(name: str, columns: str, *more: Column[object]) -> Table:
    return Table(name, METADATA, *(Column(column, kind) for column, kind in typed(columns)), *more)


FACTS: Final = _table("facts", "name value:b")
QUOTAS: Final = _table("quotas", "tenant key_id quota")
TENANTS: Final = _table("tenants", "tenant name defaults created_ms:i updated_ms:i")
API_KEYS: Final = _table(
    "api_keys",
    "key_id tenant name digest:b scopes created_ms:i expires_ms:i revoked_ms:i networks replaces replaced_by"
    " last_used_ms:i last_used_from warned_ms:i",
)
KEY_NETWORKS: Final = _table("key_networks", "tenant key_id network last_ms:i")
TOKEN_KEYS: Final = _table("token_keys", "tenant generation:i previous_until_ms:i")
PROFILES: Final = _table("profiles", "profile_id:i tenant zone preferences digest:b quiet_hours")
USERS: Final = _table(
    "users",
    "ordinal:i tenant user_id profile_id:i email phone whatsapp chat webhook locale zone devices:b attributes"
    " created_ms:i updated_ms:i more_contacts last_seen_ms:i",
    Column("device_kinds", ARRAY(Text)),
)
CONSENTS: Final = _table("consents", "tenant ordinal:i sequence:i at_ms:i category channel allowed:t until_ms:i source")
TOPICS: Final = _table("topics", "tenant key name created_ms:i")
TOPIC_MEMBERS: Final = _table("topic_members", "tenant topic ordinal:i")
PROVIDERS: Final = _table(
    "providers",
    "tenant name channel vendor priority:i enabled:t settings credential_names sealed:b version:i created_ms:i"
    " updated_ms:i rules credential_references",
)
SUPPRESSIONS: Final = _table("suppressions", "tenant channel address reason created_ms:i expires_ms:i")
DOCUMENTS: Final = _table("documents", "tenant kind key version:i removed:i created_ms:i updated_ms:i body")
VERSIONS: Final = _table("document_versions", "tenant kind key version:i updated_ms:i body")
REFERENCES: Final = _table("document_references", "tenant to_kind to_key kind key")
ARTIFACTS: Final = _table("artifacts", "tenant kind key build:i body")
AUDIT: Final = _table(
    "audit",
    "tenant number:i at_ms:i actor_kind actor_id action kind key before after address request_id reason",
)
