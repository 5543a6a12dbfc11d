"""The control store in SQL."""

from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from clarion.ports.audiences import Audiences
from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault
from clarion.stores.sql.consents import SqlConsents
from clarion.stores.sql.documents import SqlDocuments
from clarion.stores.sql.engine import NO_TENANT, Engine, Transaction
from clarion.stores.sql.keys import SqlKeys
from clarion.stores.sql.people import SqlPeople
from clarion.stores.sql.providers import SqlProviders
from clarion.stores.sql.quotas import SqlQuotaSettings
from clarion.stores.sql.statement import Statement
from clarion.stores.sql.suppressions import SqlSuppressions
from clarion.stores.sql.tables import FACTS
from clarion.stores.sql.tenants import SqlTenants
from clarion.stores.sql.topics import SqlTopics
from clarion.stores.sql.users import SqlUsers

_PROBE: Final = "key-check"
_KEEP: Final = Statement(
    insert(FACTS).values(name=bindparam("name"), value=bindparam("value")).on_conflict_do_nothing()
)
_KEPT: Final = Statement(select(FACTS.c.value).where(FACTS.c.name == bindparam("name")))


class SqlControl:
    """All repositories over one database."""

    def __init__(self, engine: Engine, audiences: Audiences, vault: Vault, clock: Clock) -> None:
        self._engine = engine
        self._vault = vault
        self.tenants = SqlTenants(engine, clock)
        self.keys = SqlKeys(engine, clock)
        self.quotas = SqlQuotaSettings(engine)
        self.users = SqlUsers(engine, clock)
        self.consents = SqlConsents(engine)
        self.topics = SqlTopics(engine, clock)
        self.documents = SqlDocuments(engine)
        self.providers = SqlProviders(engine, clock, vault)
        self.audiences = audiences
        self.suppressions = SqlSuppressions(engine)
        self.people = SqlPeople(engine)

    async def check_key(self) -> None:
        """Raise `SealBroken` when the vault's master key is not the one this store was created with: at the start, not at
        the first send."""
        await self._engine.run(NO_TENANT, self._check_key)

    async def _check_key(self, tx: Transaction) -> None:
        self._vault.open("", _PROBE, await keep(tx, _PROBE, self._vault.seal("", _PROBE, b"")))


async def keep(tx: Transaction, name: str, value: bytes) -> bytes:
    """Store a fact of the installation unless it is stored, and return what is stored."""
    await tx.change(_KEEP, name=name, value=value)
    kept: bytes = (await tx.rows(_KEPT, name=name))[0][0]
    return kept
