"""The revisions of tenants' definitions as this process knows them, and the definitions cached by them.

Asking for a revision reads no store. Changes of this process count at once; those of others when the revisions are read
again: by `refresh`, or by the first reader who finds them older than `REVISION_CHECK_MS`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX, REVISION_CHECK_MS
from clarion.stores.postgres.control_engine import RevisionCounter
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import NO_TENANT

_CHANGED: Final = "SELECT tenant, number FROM tenant_revisions WHERE number > $1"
_Place = tuple[Any, ...]


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

    def of(self, tenant: str) -> int:
        """Return the number of a tenant's last change, 0 without one."""
        return max(self._learned.get(tenant, 0), self._changes.revisions.get(tenant, 0))

    def are_current(self) -> bool:
        """Return whether the last successful reading began within `REVISION_CHECK_MS`."""
        return self._learned_ms is not None and self._monotonic_ms() - self._learned_ms < REVISION_CHECK_MS

    async def learn(self) -> None:
        """Read the changes of all processes that were committed before this call. Raises `StoreUnavailable`."""
        async with self._learning:
            await self._learn()

    async def learn_if_behind(self) -> None:
        """Read the changes unless they are current; those who call it at the same time share one reading."""
        if not self.are_current():
            async with self._learning:
                if not self.are_current():
                    await self._learn()

    async def _learn(self) -> None:
        began_ms = self._monotonic_ms()
        for tenant, number in await self._database.fetch(NO_TENANT, _CHANGED, self._highest):
            self._learned[tenant] = number
            self._highest = max(self._highest, number)
        self._learned_ms = began_ms  # only now: a reading that failed is tried again


class DefinitionCache:
    """Definitions by tenant and place. A tenant's are dropped when its revision changes."""

    def __init__(self, revisions: Revisions) -> None:
        self._revisions = revisions
        self._tenants: dict[str, tuple[int, dict[_Place, Any]]] = {}
        self._count = 0

    def get(self, tenant: str, place: _Place) -> Any:
        """Return what was put in a place at the tenant's present revision, or None."""
        kept = self._tenants.get(tenant)
        if kept is None:
            return None
        if kept[0] != self._revisions.of(tenant):
            self._count -= len(kept[1])
            del self._tenants[tenant]
            return None
        return kept[1].get(place)

    def put(self, tenant: str, place: _Place, value: Any, revision: int) -> None:
        """Keep a value whose reading began at a revision of the tenant. It is dropped if that is another one by now."""
        if revision != self._revisions.of(tenant):
            return
        if self._count >= DIRECTORY_CACHE_MAX:
            self._tenants.clear()
            self._count = 0
        kept = self._tenants.get(tenant)
        if kept is None or kept[0] != revision:
            self._count -= len(kept[1]) if kept else 0
            kept = self._tenants[tenant] = (revision, {})
        self._count += place not in kept[1]
        kept[1][place] = value
