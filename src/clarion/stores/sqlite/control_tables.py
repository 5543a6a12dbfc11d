"""The tables of `control.db` for building statements; `migrations/control` creates them."""

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData()


def _table(name: str, columns: str) -> Table:
    """Declare a table: column names, `:i` for integers, `:b` for bytes, everything else text."""
    kinds = {"": Text, "i": Integer, "b": LargeBinary}
    parts = (column.partition(":") for column in columns.split())
    return Table(name, METADATA, *(Column(column, kinds[kind]) for column, _, kind in parts))


FACTS: Final = _table("facts", "name value:b")
REVISIONS: Final = _table("revisions", "id:i number:i")
TENANT_REVISIONS: Final = _table("tenant_revisions", "tenant number:i")
QUOTAS: Final = _table("quotas", "tenant key_id quota")
TENANTS: Final = _table("tenants", "tenant name defaults created_ms:i updated_ms:i")
API_KEYS: Final = _table(
    "api_keys",
    "key_id tenant name digest:b scopes created_ms:i expires_ms:i revoked_ms:i networks replaces replaced_by"
    " last_used_ms:i last_used_from warned_ms:i",
)
KEY_NETWORKS: Final = _table("key_networks", "key_id network last_ms:i")
TOKEN_KEYS: Final = _table("token_keys", "tenant generation:i previous_until_ms:i")
PROFILES: Final = _table("profiles", "profile_id:i tenant zone preferences digest:b quiet_hours")
USERS: Final = _table(
    "users",
    "ordinal:i tenant user_id profile_id:i email phone whatsapp chat webhook locale zone devices:b attributes"
    " created_ms:i updated_ms:i more_contacts last_seen_ms:i",
)
CONSENTS: Final = _table("consents", "tenant ordinal:i sequence:i at_ms:i category channel allowed:i until_ms:i source")
TOPICS: Final = _table("topics", "tenant key name created_ms:i")
TOPIC_MEMBERS: Final = _table("topic_members", "tenant topic ordinal:i")
PROVIDERS: Final = _table(
    "providers",
    "tenant name channel vendor priority:i enabled:i settings credential_names sealed:b version:i created_ms:i"
    " updated_ms:i rules credential_references",
)
SUPPRESSIONS: Final = _table("suppressions", "tenant channel address reason created_ms:i expires_ms:i")
