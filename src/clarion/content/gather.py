"""Contents: reads the templates and tenant contexts that rendering needs, many in one call, and caches them until they
change."""

from collections.abc import Collection, Coroutine, Hashable, Mapping
from itertools import islice
from typing import Any, TypeVar

from clarion.content.links import Links
from clarion.content.render import Rendering, TenantContext
from clarion.domain.limits_content import COMPILED_TEMPLATES_MAX
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.template import BRAND_KEY, Brand
from clarion.ports.directory import Defined, DefinitionKey, Directory
from clarion.ports.renderer import Engines
from clarion.runtime.metering import together
from clarion.runtime.tenant_cache import TenantCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Contents(Rendering):
    """The content cache of one process. Only `gather` reads from the directory.

    Gathered content can be rendered from then on, also during later calls of `gather`; it is evicted only when the
    cache is full. A caller that renders in the same step need not check again; one that renders later, and needs
    current content, calls `holds` first.
    """

    def __init__(self, directory: Directory, engines: Engines, links: Links | None = None) -> None:
        super().__init__(engines, links)
        self._directory = directory
        self._current = TenantCache(directory, COMPILED_TEMPLATES_MAX, _Current)

    def holds(self, tenant: str, key: str) -> bool:
        """Return whether a template and the context of its tenant are as new as the last `gather` for that tenant by
        any caller."""
        current = self._current.last(tenant)
        return current is not None and current.has_context and key in current.templates

    async def gather(self, templates: Collection[tuple[str, str]], tenants: Collection[str]) -> None:
        """Read templates, by (tenant, key), and the contexts of tenants, unless they are current. `tenants` has to
        include those of the templates."""
        if reading := self.missing_reads(templates, tenants):
            await together(*reading)

    def missing_reads(
        self, templates: Collection[tuple[str, str]], tenants: Collection[str]
    ) -> list[Coroutine[Any, Any, None]]:
        """Return the reads that `gather` makes, to be run concurrently with other reads; none when everything is
        current."""
        now = {tenant: self._current.of(tenant) for tenant in {*tenants, *(tenant for tenant, _ in templates)}}
        missing = [(tenant, key) for tenant, key in templates if key not in now[tenant].templates]
        without_context = [tenant for tenant in tenants if not now[tenant].has_context]
        reading: list[Coroutine[Any, Any, None]] = []
        if missing:
            reading.append(self._read_templates(missing, templates, now))
        if without_context:
            reading.append(self._read_tenant_contexts(without_context, tenants, now))
        return reading

    async def _read_templates(
        self, missing: list[tuple[str, str]], wanted: Collection[tuple[str, str]], now: Mapping[str, "_Current"]
    ) -> None:
        found = await self._directory.templates(missing)
        for place in missing:
            tenant, key = place
            if self._current.last(tenant) is now[tenant]:
                self._templates[place] = found.get(place)
                now[tenant].templates.add(key)
            else:  # content that a concurrent call read is not older
                self._templates.setdefault(place, found.get(place))
        for tenant, key in _dropped(self._templates, wanted):
            if (current := self._current.last(tenant)) is not None:
                current.templates.discard(key)

    async def _read_tenant_contexts(
        self, missing: list[str], wanted: Collection[str], now: Mapping[str, "_Current"]
    ) -> None:
        found = await self._directory.definitions(
            [key for tenant in missing for key in (_brand(tenant), _policy(tenant))]
        )
        for tenant in missing:
            tenant_context = _tenant_context(found.get(_brand(tenant)), found.get(_policy(tenant)))
            if self._current.last(tenant) is now[tenant]:
                self._tenant_contexts[tenant] = tenant_context
                now[tenant].has_context = True
            else:
                self._tenant_contexts.setdefault(tenant, tenant_context)
        for tenant in _dropped(self._tenant_contexts, wanted):
            self._current.drop(tenant)


class _Current:
    """The current content of a tenant: the keys of its current templates, and whether its context is current."""

    __slots__ = ("has_context", "templates")

    def __init__(self) -> None:
        self.templates: set[str] = set()
        self.has_context = False


def _brand(tenant: str) -> DefinitionKey:
    return tenant, Brand, BRAND_KEY, None


def _policy(tenant: str) -> DefinitionKey:
    return tenant, Policy, POLICY_KEY, None


def _tenant_context(brand: Defined[Brand] | None, policy: Defined[Policy] | None) -> TenantContext:
    text = policy.body if policy else Policy()
    return TenantContext(brand.body if brand else Brand(), text.locale, text.zone)


def _dropped(held: dict[K, V], wanted: Collection[K]) -> list[K]:
    """Evict entries when the cache is full and return their keys: the oldest ones, and none of those wanted now."""
    if len(held) <= COMPILED_TEMPLATES_MAX:
        return []
    kept = set(wanted)
    dropped = list(islice((key for key in held if key not in kept), COMPILED_TEMPLATES_MAX // 4))
    for key in dropped:
        del held[key]
    return dropped
