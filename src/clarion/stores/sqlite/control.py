"""The control store in `control.db`."""

from pathlib import Path
from typing import Final

from clarion.ports.clock import Clock
from clarion.ports.secrets import Vault
from clarion.stores.sqlite.audience_count import SqliteAudiences
from clarion.stores.sqlite.control_accounts import SqliteProviders, SqliteSuppressions
from clarion.stores.sqlite.control_consents import SqliteConsents
from clarion.stores.sqlite.control_keys import SqliteKeys
from clarion.stores.sqlite.control_quotas import SqliteQuotaSettings
from clarion.stores.sqlite.control_run import Runner, Transaction
from clarion.stores.sqlite.control_tenants import SqliteTenants
from clarion.stores.sqlite.control_topics import SqliteTopics
from clarion.stores.sqlite.control_users import SqliteUsers
from clarion.stores.sqlite.documents import sqlite_documents, sqlite_people
from clarion.stores.sqlite.migrate import path_of

_PROBE: Final = "key-check"


class SqliteControl:
    """All repositories over one connection and one thread; call `migrate.upgrade(data_dir, "control")` first.

    Raises `SealBroken` when the vault's master key is not the one this store was created with.
    """

    def __init__(self, data_dir: Path, vault: Vault, clock: Clock) -> None:
        self._runner = Runner(path_of(data_dir, "control"))
        self._runner.run_now(lambda tx: _check_key(tx, vault))
        self.changes = self._runner.changes
        """The changes of definitions that this process made."""
        self.tenants = SqliteTenants(self._runner, clock)
        self.keys = SqliteKeys(self._runner, clock)
        self.quotas = SqliteQuotaSettings(self._runner)
        self.users = SqliteUsers(self._runner, clock)
        self.consents = SqliteConsents(self._runner)
        self.topics = SqliteTopics(self._runner, clock)
        self.documents = sqlite_documents(self._runner)
        self.people = sqlite_people(self._runner)
        self.providers = SqliteProviders(self._runner, clock, vault)
        self.audiences = SqliteAudiences(data_dir, clock)
        self.suppressions = SqliteSuppressions(self._runner)

    async def close(self) -> None:
        """Finish queued transactions and close."""
        await self.audiences.close()
        await self._runner.close()


def _check_key(tx: Transaction, vault: Vault) -> None:
    """Raise `SealBroken` at the start, not at the first send, when the master key does not match the data."""
    stored = tx.sql("SELECT value FROM facts WHERE name = ?", (_PROBE,))
    if stored:
        vault.open("", _PROBE, stored[0][0])
    else:
        tx.sql("INSERT INTO facts VALUES (?, ?)", (_PROBE, vault.seal("", _PROBE, b"")))
