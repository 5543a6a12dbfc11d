"""Contents: reads the templates and houses that rendering needs, many in one call, and keeps them until they change."""

from collections.abc import Collection, Hashable, Mapping
from itertools import islice
from typing import TypeVar

from clarion.content.links import Links
from clarion.content.render import House, Rendering
from clarion.domain.limits import COMPILED_TEMPLATES_MAX
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.template import BRAND_KEY, Brand
from clarion.ports.directory import Directory
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
        self._revision = -1
        self._current_templates: set[tuple[str, str]] = set()
        self._current_houses: set[str] = set()

    def holds(self, tenant: str, key: str) -> bool:
        """Return whether a template and the house of its tenant are as new as the last `gather`, whoever called it."""
        return (tenant, key) in self._current_templates and tenant in self._current_houses

    async def gather(self, templates: Collection[tuple[str, str]], tenants: Collection[str]) -> None:
        """Read templates, by (tenant, key), and the houses of tenants, unless they are current. Those of the templates'
        tenants have to be among them."""
        revision = self._directory.revision()
        if revision != self._revision:
            self._revision = revision
            self._current_templates.clear()
            self._current_houses.clear()
        if lacking := [place for place in templates if place not in self._current_templates]:
            found = {(tenant, key): self._directory.template(tenant, key) for tenant, key in lacking}
            self._keep(self._templates, self._current_templates, found, templates, revision)
        if homeless := [tenant for tenant in tenants if tenant not in self._current_houses]:
            houses = {tenant: await self._house(tenant) for tenant in homeless}
            self._keep(self._houses, self._current_houses, houses, tenants, revision)

    async def _house(self, tenant: str) -> House:
        brand = self._directory.definition(tenant, Brand, BRAND_KEY)
        policy = self._directory.definition(tenant, Policy, POLICY_KEY)
        said = policy.body if policy else Policy()
        return House(brand.body if brand else Brand(), said.locale, said.zone)

    def _keep(
        self, held: dict[K, V], current: set[K], found: Mapping[K, V], wanted: Collection[K], revision: int
    ) -> None:
        """Keep what was found, and what is wanted longer than the rest. What was read for an older revision than somebody
        else's does not replace what they read."""
        if revision == self._revision:
            current.update(found)
        else:
            found = {key: value for key, value in found.items() if key not in held}
        held.update(found)
        if len(held) > COMPILED_TEMPLATES_MAX:
            for key in wanted:
                held[key] = held.pop(key)
            for key in list(islice(held, min(COMPILED_TEMPLATES_MAX // 4, len(held) - len(wanted)))):
                del held[key]
                current.discard(key)
