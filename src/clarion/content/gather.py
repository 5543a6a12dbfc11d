"""Contents: reads the templates and houses that rendering needs, many in one call, and keeps them until they change."""

from collections.abc import Collection, Coroutine, Hashable, Mapping
from itertools import islice
from typing import Any, TypeVar

from clarion.content.links import Links
from clarion.content.render import House, Rendering
from clarion.domain.limits import COMPILED_TEMPLATES_MAX
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.template import BRAND_KEY, Brand
from clarion.ports.directory import Defined, DefinitionKey, Directory
from clarion.ports.metering import together
from clarion.ports.renderer import Engines

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Contents(Rendering):
    """What one process renders from. `gather` alone reads.

    What was gathered can be rendered from then on, also while others gather; it makes room for what is gathered later only
    when there is too much of it. So whoever renders in the same step need not ask again; whoever renders later, and wants
    what is current by then, asks `holds` first.
    """

    def __init__(self, directory: Directory, engines: Engines, links: Links | None = None) -> None:
        super().__init__(engines, links)
        self._directory = directory
        self._current: dict[str, _Current] = {}

    def holds(self, tenant: str, key: str) -> bool:
        """Return whether a template and the house of its tenant are as new as the last `gather` for that tenant, whoever called
        it."""
        current = self._current.get(tenant)
        return current is not None and current.house and key in current.templates

    async def gather(self, templates: Collection[tuple[str, str]], tenants: Collection[str]) -> None:
        """Read templates, by (tenant, key), and the houses of tenants, unless they are current. Those of the templates'
        tenants have to be among them."""
        if reading := self.lacking(templates, tenants):
            await together(*reading)

    def lacking(
        self, templates: Collection[tuple[str, str]], tenants: Collection[str]
    ) -> list[Coroutine[Any, Any, None]]:
        """Return the reads that `gather` makes, to be run side by side with others; none when all is current."""
        now = {tenant: self._now(tenant) for tenant in {*tenants, *(tenant for tenant, _ in templates)}}
        lacking = [(tenant, key) for tenant, key in templates if key not in now[tenant].templates]
        homeless = [tenant for tenant in tenants if not now[tenant].house]
        reading: list[Coroutine[Any, Any, None]] = []
        if lacking:
            reading.append(self._read_templates(lacking, templates, now))
        if homeless:
            reading.append(self._read_houses(homeless, tenants, now))
        return reading

    def _now(self, tenant: str) -> "_Current":
        revision, current = self._directory.revision(tenant), self._current.get(tenant)
        if current is None or current.revision != revision:
            current = self._current[tenant] = _Current(revision)
        return current

    async def _read_templates(
        self, lacking: list[tuple[str, str]], wanted: Collection[tuple[str, str]], now: Mapping[str, "_Current"]
    ) -> None:
        found = await self._directory.templates(lacking)
        for place in lacking:
            tenant, key = place
            if self._current.get(tenant) is now[tenant]:
                self._templates[place] = found.get(place)
                now[tenant].templates.add(key)
            else:  # what somebody else read is not older
                self._templates.setdefault(place, found.get(place))
        for tenant, key in _dropped(self._templates, wanted):
            if (current := self._current.get(tenant)) is not None:
                current.templates.discard(key)

    async def _read_houses(self, lacking: list[str], wanted: Collection[str], now: Mapping[str, "_Current"]) -> None:
        found = await self._directory.definitions(
            [key for tenant in lacking for key in (_brand(tenant), _policy(tenant))]
        )
        for tenant in lacking:
            house = _house(found.get(_brand(tenant)), found.get(_policy(tenant)))
            if self._current.get(tenant) is now[tenant]:
                self._houses[tenant] = house
                now[tenant].house = True
            else:
                self._houses.setdefault(tenant, house)
        for tenant in _dropped(self._houses, wanted):
            self._current.pop(tenant, None)


class _Current:
    """What is current of a tenant: its templates by key, and whether its house is."""

    __slots__ = ("house", "revision", "templates")

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.templates: set[str] = set()
        self.house = False


def _brand(tenant: str) -> DefinitionKey:
    return tenant, Brand, BRAND_KEY, None


def _policy(tenant: str) -> DefinitionKey:
    return tenant, Policy, POLICY_KEY, None


def _house(brand: Defined[Brand] | None, policy: Defined[Policy] | None) -> House:
    said = policy.body if policy else Policy()
    return House(brand.body if brand else Brand(), said.locale, said.zone)


def _dropped(held: dict[K, V], wanted: Collection[K]) -> list[K]:
    """Make room when too much is held, and return what was let go: what was read first, and nothing that is wanted now."""
    if len(held) <= COMPILED_TEMPLATES_MAX:
        return []
    kept = set(wanted)
    dropped = list(islice((key for key in held if key not in kept), COMPILED_TEMPLATES_MAX // 4))
    for key in dropped:
        del held[key]
    return dropped
