"""Cache of definitions and categories for waiting work in one process, per tenant until one of them changes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX
from clarion.domain.policy import Policy
from clarion.domain.workflow import Workflow
from clarion.plan.wait_facts import CATEGORIES, DEFINITIONS, CachedFacts, Unreadable
from clarion.ports.directory import Directory
from clarion.runtime.tenant_cache import TenantCache


class DefinitionCache:
    """Cached definitions by tenant. Facts already returned never change; `add` only extends them."""

    def __init__(self, directory: Directory) -> None:
        self._known: TenantCache[dict[tuple[str, Any], Any]] = TenantCache(directory, DIRECTORY_CACHE_MAX, dict)

    def of(self, tenants: Iterable[str]) -> CachedFacts:
        """Return the cached facts of tenants, by kind and key; called once per step, before anything else is read for
        it."""
        return {tenant: self._known.of(tenant) for tenant in tenants}

    def add(self, kept: CachedFacts, found: Mapping[str, Mapping[Any, Any]]) -> None:
        """Add facts that were read, by kind and key, to the result of an earlier `of`."""
        for kind in (DEFINITIONS, CATEGORIES):
            for key, value in found.get(kind, _NOTHING).items():
                if (of_tenant := kept.get(key[0])) is not None and _stays(kind, key, value):
                    of_tenant[kind, key] = value
                    self._known.keep(key[0], of_tenant, len(of_tenant))


def _stays(kind: str, key: Any, value: Any) -> bool:
    """Return whether a fact may be cached. Schedules and the like may not, as they have to be current when they are
    used. Of missing definitions only a tenant's missing policy may, as most tenants have none."""
    if isinstance(value, Unreadable):
        return False
    if kind == CATEGORIES:
        return value is not None
    return key[1] is Policy or (key[1] is Workflow and value is not None and key[3] is not None)


_NOTHING: Final[Mapping[Any, Any]] = {}
