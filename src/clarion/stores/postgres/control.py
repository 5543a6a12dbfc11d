"""The control store on PostgreSQL."""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault
from clarion.stores.postgres.audience_count import PostgresAudiences
from clarion.stores.postgres.control_accounts import PostgresProviders, PostgresSuppressions
from clarion.stores.postgres.control_consents import PostgresConsents
from clarion.stores.postgres.control_keys import PostgresKeys
from clarion.stores.postgres.control_quotas import PostgresQuotaSettings
from clarion.stores.postgres.control_run import Runner, Transaction
from clarion.stores.postgres.control_tenants import PostgresTenants
from clarion.stores.postgres.control_topics import PostgresTopics
from clarion.stores.postgres.control_users import PostgresUsers
from clarion.stores.postgres.documents import postgres_documents, postgres_people
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import NO_TENANT

_PROBE: Final = "key-check"
_OPERATOR: Final = "operator-key"
_KEEP: Final = "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
_KEPT: Final = "SELECT value FROM facts WHERE name = $1"
_REPLACE: Final = "UPDATE facts SET value = $2 WHERE name = $1"


class PostgresControl:
    """All repositories over one database, whose schema `migrate.upgrade` has created. Await `check_key` before use. The
    database is closed with the store."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._runner = Runner(database)
        self.changes = self._runner.changes
        """The changes of definitions that this process made."""
        self.tenants = PostgresTenants(self._runner, clock)
        self.keys = PostgresKeys(self._runner, clock)
        self.quotas = PostgresQuotaSettings(self._runner)
        self.users = PostgresUsers(self._runner, clock)
        self.consents = PostgresConsents(self._runner)
        self.topics = PostgresTopics(self._runner, clock)
        self.documents = postgres_documents(self._runner)
        self.people = postgres_people(self._runner)
        self.providers = PostgresProviders(self._runner, clock, vault)
        self.audiences = PostgresAudiences(database, clock)
        self.suppressions = PostgresSuppressions(self._runner)

    async def check_key(self) -> None:
        """Raise `SealBroken` when the vault's master key is not the one this store was created with: at the start, not at
        the first send."""
        sealed = self._vault.seal("", _PROBE, b"")

        async def work(tx: Transaction) -> bytes:
            await tx.change(_KEEP, _PROBE, sealed)
            kept: bytes = await tx.value(_KEPT, _PROBE)
            return kept

        self._vault.open("", _PROBE, await self._runner.run(NO_TENANT, work))

    async def has_operator_key(self, keys: Sequence[str]) -> bool:
        """Return whether one of the keys is the operator's key of this store; the first one given to a new store is. Only a
        sealed digest of it is stored. Raises `SealBroken`."""
        digests = [sha256(key.encode()).digest() for key in keys]
        sealed = self._vault.seal("", _OPERATOR, digests[0])

        async def work(tx: Transaction) -> bytes:
            await tx.change(_KEEP, _OPERATOR, sealed)
            kept: bytes = await tx.value(_KEPT, _OPERATOR)
            return kept

        stored = self._vault.open("", _OPERATOR, await self._runner.run(NO_TENANT, work))
        return any(hmac.compare_digest(stored, digest) for digest in digests)

    async def replace_operator_key(self, key: str) -> None:
        """Let another key be the operator's key of this store."""
        sealed = self._vault.seal("", _OPERATOR, sha256(key.encode()).digest())
        await self._runner.run(NO_TENANT, lambda tx: tx.change(_REPLACE, _OPERATOR, sealed))

    async def close(self) -> None:
        """Finish running statements and close."""
        await self.audiences.close()
        await self._database.close()
