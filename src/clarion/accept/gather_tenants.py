"""A cache of the tenants' definitions that requests named: read once, and valid until the tenant's revision changes."""

from collections.abc import Mapping

from clarion.accept.definitions import DefinitionNames, Definitions, has_all, implied_names
from clarion.accept.gather import gather_definitions, gather_rules
from clarion.domain.event_rule import EventRule
from clarion.domain.limits_processes import INTAKE_DEFINITIONS_MAX
from clarion.domain.quota import Quota
from clarion.ports.directory import Defined, Directory


class TenantSnapshot:
    """Cached definitions of one tenant, all read after its revision. None marks a part that has not been read yet."""

    __slots__ = ("counted", "definitions", "quotas", "revision", "rules")

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.definitions = Definitions({}, {}, {}, set(), {})
        self.quotas: Mapping[str, Quota] | None = None
        self.rules: list[Defined[EventRule]] | None = None
        self.counted = 0

    def is_missing(self, wants: DefinitionNames) -> bool:
        """Return whether any wanted definition, or any that these imply, is missing."""
        found = self.definitions
        return not (has_all(found, wants) and has_all(found, implied_names(found, wants)))

    def size(self) -> int:
        """Return the number of definitions in the snapshot, plus one for the snapshot itself."""
        named = sum(len(some) for some in self.definitions)
        return 1 + named + len(self.quotas or ()) + len(self.rules or ())


class TenantCache:
    """Caches a snapshot of each tenant for as long as its revision is the same and the directory is current. Missing
    definitions are not cached: made-up names would fill the cache."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: dict[str, TenantSnapshot] = {}
        self._count = 0

    def snapshot(self, tenant: str) -> TenantSnapshot:
        """Return the snapshot for one request. It is an empty new one when the tenant's revision has changed or the
        directory is not current."""
        revision = self._directory.revision(tenant)
        known = self._known.get(tenant)
        if known is None or known.revision != revision or not self._directory.is_current():
            self._count -= 0 if known is None else known.counted
            known = self._known[tenant] = TenantSnapshot(revision)
        return known

    async def load_definitions(self, tenant: str, known: TenantSnapshot, wants: DefinitionNames) -> None:
        """Read the missing ones of these definitions, and those they imply, into the snapshot: two rounds at most."""
        await gather_definitions(self._directory, tenant, wants, known.definitions)
        self._keep(tenant, known)

    async def load_quotas(self, tenant: str, known: TenantSnapshot) -> None:
        """Read the quotas of a tenant and its keys into the snapshot."""
        known.quotas = await self._directory.quotas(tenant)
        self._keep(tenant, known)

    async def load_rules(self, tenant: str, known: TenantSnapshot) -> None:
        """Read the event rules of a tenant into the snapshot."""
        known.rules = await gather_rules(self._directory, tenant)
        self._keep(tenant, known)

    def _keep(self, tenant: str, known: TenantSnapshot) -> None:
        if self._known.get(tenant) is not known:
            return  # the tenant's definitions have changed meanwhile
        size = known.size()
        self._count += size - known.counted
        known.counted = size
        if self._count > INTAKE_DEFINITIONS_MAX:
            self._known.clear()
            self._count = 0
