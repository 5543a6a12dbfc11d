"""The revisions of tenants' definitions as this process knows them.

Asking for a revision reads no store. Changes of this process count at once; those of others when the revisions are read
again: by `refresh`, or by the first reader who finds them older than `REVISION_CHECK_MS`.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from clarion.domain.limits_processes import REVISION_CHECK_MS
from clarion.stores.postgres.control_engine import RevisionCounter
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import NO_TENANT

_CHANGED: Final = "SELECT tenant, number FROM tenant_revisions WHERE number > $1"


class Revisions:
    """The number of each tenant's last change. `changes` counts those of this process (`PostgresControl.changes`)."""

    def __init__(self, database: Database, monotonic_ms: Callable[[], int], changes: RevisionCounter) -> None:
        self._database = database
        self._monotonic_ms = monotonic_ms
        self._changes = changes
        self._learned: dict[str, int] = {}
        self._highest = 0
        self._learned_ms: int | None = None
        self._learning = asyncio.Lock()

    def revision(self, tenant: str) -> int:
        """Return the number of a tenant's last change, 0 without one."""
        return max(self._learned.get(tenant, 0), self._changes.revisions.get(tenant, 0))

    def is_current(self) -> bool:
        """Return whether the last successful reading began within `REVISION_CHECK_MS`."""
        return self._learned_ms is not None and self._monotonic_ms() - self._learned_ms < REVISION_CHECK_MS

    async def learn(self) -> None:
        """Read the changes of all processes that were committed before this call. Raises `StoreUnavailable`."""
        async with self._learning:
            await self._learn()

    async def learn_if_behind(self) -> None:
        """Read the changes unless they are current; those who call it at the same time share one reading."""
        if not self.is_current():
            async with self._learning:
                if not self.is_current():
                    await self._learn()

    async def _learn(self) -> None:
        began_ms = self._monotonic_ms()
        for tenant, number in await self._database.fetch(NO_TENANT, _CHANGED, self._highest):
            self._learned[tenant] = number
            self._highest = max(self._highest, number)
        self._learned_ms = began_ms  # only now: a reading that failed is tried again
