"""Cache of definitions and categories for waiting work in one process, per tenant until one of them changes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX
from clarion.domain.policy import Policy
from clarion.domain.workflow import Workflow
from clarion.plan.wait_facts import CATEGORIES, DEFINITIONS, CachedFacts, Unreadable
from clarion.ports.directory import Directory


class DefinitionCache:
    """Cached definitions by tenant. Facts already returned never change; `add` only extends them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._revisions: dict[str, int] = {}
        """Revision of each cached tenant, as of before its first read."""
        self._kept: dict[str, dict[tuple[str, Any], Any]] = {}
        self._count = 0

    def of(self, tenants: Iterable[str]) -> CachedFacts:
        """Return the cached facts of tenants, by kind and key; called once per step, before anything else is read for
        it."""
        if max(self._count, len(self._kept)) >= DIRECTORY_CACHE_MAX:
            self._revisions, self._kept, self._count = {}, {}, 0
        found: dict[str, dict[tuple[str, Any], Any]] = {}
        for tenant in tenants:
            revision = self._directory.revision(tenant)
            if self._revisions.get(tenant) != revision:
                self._revisions[tenant] = revision
                self._count -= len(self._kept.get(tenant, ()))
                self._kept[tenant] = {}
            found[tenant] = self._kept[tenant]
        return found

    def add(self, kept: CachedFacts, found: Mapping[str, Mapping[Any, Any]]) -> None:
        """Add facts that were read, by kind and key, to the result of an earlier `of`."""
        for kind in (DEFINITIONS, CATEGORIES):
            for key, value in found.get(kind, _NOTHING).items():
                if (of_tenant := kept.get(key[0])) is not None and _stays(kind, key, value):
                    self._count += (kind, key) not in of_tenant
                    of_tenant[kind, key] = value


def _stays(kind: str, key: Any, value: Any) -> bool:
    """Return whether a fact may be cached. Schedules and the like may not, as they have to be current when they are
    used. Of missing definitions only a tenant's missing policy may, as most tenants have none."""
    if isinstance(value, Unreadable):
        return False
    if kind == CATEGORIES:
        return value is not None
    return key[1] is Policy or (key[1] is Workflow and value is not None and key[3] is not None)


_NOTHING: Final[Mapping[Any, Any]] = {}
