"""Account health on PostgreSQL, shared by all workers of an installation. A crash of the server may forget it."""

from contextlib import suppress
from typing import Final

import msgspec

from clarion.domain.account_health import AccountHealth
from clarion.ports.account_health import AccountName
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.versions import PostgresVersions, Statements

_NAMES: Final = "unnest($1::text[], $2::text[]) WITH ORDINALITY AS g (tenant, name, n)"
_ROWS: Final = "unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS g (tenant, name, health, n)"
_SAME: Final = "h.tenant = g.tenant AND h.name = g.name"
_STATEMENTS: Final = Statements(
    read=f"SELECT g.n, h.version, h.health FROM {_NAMES} JOIN account_health h ON {_SAME}",  # noqa: S608 - constants
    lock=f"SELECT g.n, h.version FROM {_NAMES} JOIN account_health h ON {_SAME} ORDER BY g.n FOR UPDATE OF h",  # noqa: S608
    insert=f"""
WITH given AS (SELECT * FROM {_ROWS}), stored AS (
    INSERT INTO account_health (tenant, name, version, health)
    SELECT tenant, name, nextval('swap_versions'), health FROM given ORDER BY n ON CONFLICT DO NOTHING RETURNING *
)
SELECT g.n, h.version FROM given g JOIN stored h ON {_SAME}
""",  # noqa: S608 - constants
    update=f"""
UPDATE account_health h SET version = nextval('swap_versions'), health = g.health FROM {_ROWS} WHERE {_SAME}
RETURNING g.n, h.version
""",  # noqa: S608 - constants
)
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(AccountHealth).decode


class PostgresAccountHealth(PostgresVersions[AccountName, AccountHealth]):
    """Implements `ports/account_health.py`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, _STATEMENTS, (2, 1), lambda health: (_ENCODE(health),), _made)


def _made(encoded: bytes | None = None) -> AccountHealth:
    if encoded is not None:
        with suppress(msgspec.DecodeError):  # written by another release
            return _DECODE(encoded)
    return AccountHealth()
