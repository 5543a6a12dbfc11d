"""A cache of the tenants' definitions that requests named: read once, and valid until the tenant's revision changes."""

from collections.abc import Mapping

from clarion.accept.definitions import DefinitionNames, Definitions, has_all, implied_names
from clarion.accept.gather import gather_definitions, gather_rules
from clarion.domain.event_rule import EventRule
from clarion.domain.limits_processes import INTAKE_DEFINITIONS_MAX
from clarion.domain.quota import Quota
from clarion.ports.directory import Defined, Directory
from clarion.runtime.tenant_cache import TenantCache


class TenantSnapshot:
    """Cached definitions of one tenant, all read after its revision. None marks a part that has not been read yet."""

    __slots__ = ("definitions", "quotas", "rules")

    def __init__(self) -> None:
        self.definitions = Definitions({}, {}, {}, set(), {})
        self.quotas: Mapping[str, Quota] | None = None
        self.rules: list[Defined[EventRule]] | None = None

    def is_missing(self, wants: DefinitionNames) -> bool:
        """Return whether any wanted definition, or any that these imply, is missing."""
        found = self.definitions
        return not (has_all(found, wants) and has_all(found, implied_names(found, wants)))

    def size(self) -> int:
        """Return the number of definitions in the snapshot."""
        named = sum(len(some) for some in self.definitions)
        return named + len(self.quotas or ()) + len(self.rules or ())


class TenantSnapshots:
    """Caches a snapshot of each tenant. Missing definitions are not cached: made-up names would fill the cache."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known = TenantCache(directory, INTAKE_DEFINITIONS_MAX, TenantSnapshot)

    def snapshot(self, tenant: str) -> TenantSnapshot:
        """Return the snapshot for one request, an empty new one when it was stale."""
        return self._known.of(tenant)

    async def load_definitions(self, tenant: str, known: TenantSnapshot, wants: DefinitionNames) -> None:
        """Read the missing ones of these definitions, and those they imply, into the snapshot: two rounds at most."""
        await gather_definitions(self._directory, tenant, wants, known.definitions)
        self._known.keep(tenant, known, known.size())

    async def load_quotas(self, tenant: str, known: TenantSnapshot) -> None:
        """Read the quotas of a tenant and its keys into the snapshot."""
        known.quotas = await self._directory.quotas(tenant)
        self._known.keep(tenant, known, known.size())

    async def load_rules(self, tenant: str, known: TenantSnapshot) -> None:
        """Read the event rules of a tenant into the snapshot."""
        known.rules = await gather_rules(self._directory, tenant)
        self._known.keep(tenant, known, known.size())
