"""A cache of the origins that tenants allow."""

from clarion.domain.limits_processes import ORIGIN_TENANTS_MAX
from clarion.domain.origins import ORIGINS_KEY, AllowedOrigins, is_allowed
from clarion.domain.own_pages import origin_of
from clarion.ports.directory import Directory
from clarion.runtime.followed import catch_up
from clarion.runtime.tenant_cache import TenantCache


class Origins:
    """The cached origins that tenants allow. `own` is the origin of the API."""

    def __init__(self, directory: Directory, public_url: str) -> None:
        self._directory = directory
        self._kept: TenantCache[list[frozenset[str]]] = TenantCache(directory, ORIGIN_TENANTS_MAX, list)
        self.own = origin_of(public_url).encode()

    async def allow(self, tenant: str, origin: str) -> bool:
        """Return whether a tenant allows an origin. Raises `StoreUnavailable`."""
        await catch_up(self._directory)
        kept = self._kept.of(tenant)
        if not kept:
            key = (tenant, AllowedOrigins, ORIGINS_KEY, None)
            found = (await self._directory.definitions([key])).get(key)
            kept.append(frozenset(found.body.origins if found else ()))
        return is_allowed(origin, kept[0])
