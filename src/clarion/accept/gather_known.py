"""What tenants have defined, as far as requests named it: asked for once, and kept for as long as nothing of it changed."""

from collections.abc import Mapping

from clarion.accept.definitions import Definitions, Wants, implied, lacking
from clarion.accept.gather import gather_definitions, gather_rules
from clarion.domain.event_rule import EventRule
from clarion.domain.limits import DOOR_DEFINITIONS_MAX
from clarion.domain.quota import Quota
from clarion.ports.directory import Defined, Directory


class Known:
    """What is known of one tenant: all of it read after its revision was. None is what nobody asked for yet."""

    __slots__ = ("counted", "definitions", "quotas", "revision", "rules")

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.definitions = Definitions({}, {}, {}, set(), {})
        self.quotas: Mapping[str, Quota] | None = None
        self.rules: list[Defined[EventRule]] | None = None
        self.counted = 0

    def lacks(self, wants: Wants) -> bool:
        """Return whether anything is not known of what is wanted and of what this implies."""
        found = self.definitions
        return any(lacking(found, wants)) or any(lacking(found, implied(found, wants)))

    def size(self) -> int:
        """Return how many definitions it holds, itself counted as one."""
        named = sum(len(some) for some in self.definitions)
        return 1 + named + len(self.quotas or ()) + len(self.rules or ())


class Tenants:
    """Keeps what is known of tenants: of each for as long as its revision is the same and the directory knows that. What does
    not exist is not kept: made-up names would fill it."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: dict[str, Known] = {}
        self._count = 0

    def known(self, tenant: str) -> Known:
        """Return what one request goes by. Changes that are known of by now count, whatever was read before."""
        revision = self._directory.revision(tenant)
        known = self._known.get(tenant)
        if known is None or known.revision != revision or not self._directory.is_current():
            self._count -= 0 if known is None else known.counted
            known = self._known[tenant] = Known(revision)
        return known

    async def learn(self, tenant: str, known: Known, wants: Wants) -> None:
        """Ask for what is not known of these definitions, and for what they imply: two rounds at most."""
        await gather_definitions(self._directory, tenant, wants, known.definitions)
        self._keep(tenant, known)

    async def learn_quotas(self, tenant: str, known: Known) -> None:
        """Ask for the quotas of a tenant and its keys."""
        known.quotas = await self._directory.quotas(tenant)
        self._keep(tenant, known)

    async def learn_rules(self, tenant: str, known: Known) -> None:
        """Ask for the event rules of a tenant."""
        known.rules = await gather_rules(self._directory, tenant)
        self._keep(tenant, known)

    def _keep(self, tenant: str, known: Known) -> None:
        if self._known.get(tenant) is not known:
            return  # its definitions have changed meanwhile
        size = known.size()
        self._count += size - known.counted
        known.counted = size
        if self._count > DOOR_DEFINITIONS_MAX:
            self._known.clear()
            self._count = 0
