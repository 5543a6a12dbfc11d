"""The control store on PostgreSQL."""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from sqlalchemy import bindparam, update

from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault
from clarion.stores.postgres.audience_count import PostgresAudiences
from clarion.stores.postgres.control_engine import PostgresEngine
from clarion.stores.postgres.pool import Database
from clarion.stores.sql.control import SqlControl, keep
from clarion.stores.sql.engine import NO_TENANT
from clarion.stores.sql.statement import Statement
from clarion.stores.sql.tables import FACTS

_OPERATOR: Final = "operator-key"
_REPLACE: Final = Statement(
    update(FACTS).where(FACTS.c.name == bindparam("fact")).values(value=bindparam("sealed"))
)  # fmt: skip


class PostgresControl(SqlControl):
    """All repositories over one database, whose schema `migrate.upgrade` has created. Await `check_key` before use. The
    database is closed with the store."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        engine = PostgresEngine(database)
        super().__init__(engine, PostgresAudiences(database, clock), vault, clock)
        self.changes = engine.changes
        """The changes of definitions that this process made."""
        self._database = database

    async def has_operator_key(self, keys: Sequence[str]) -> bool:
        """Return whether one of the keys is the operator's key of this store; the first one given to a new store is. Only a
        sealed digest of it is stored. Raises `SealBroken`."""
        digests = [sha256(key.encode()).digest() for key in keys]
        sealed = self._vault.seal("", _OPERATOR, digests[0])
        kept = await self._engine.run(NO_TENANT, lambda tx: keep(tx, _OPERATOR, sealed))
        stored = self._vault.open("", _OPERATOR, kept)
        return any(hmac.compare_digest(stored, digest) for digest in digests)

    async def replace_operator_key(self, key: str) -> None:
        """Let another key be the operator's key of this store."""
        sealed = self._vault.seal("", _OPERATOR, sha256(key.encode()).digest())
        await self._engine.run(NO_TENANT, lambda tx: tx.change(_REPLACE, fact=_OPERATOR, sealed=sealed))

    async def close(self) -> None:
        """Finish running statements and close."""
        await self.audiences.close()
        await self._database.close()
