"""A cache of the origins that tenants allow."""

from clarion.domain.limits_processes import ORIGIN_TENANTS_MAX
from clarion.domain.origins import ORIGINS_KEY, AllowedOrigins, is_allowed
from clarion.domain.own_pages import origin_of
from clarion.ports.directory import Directory
from clarion.runtime.followed import catch_up


class Origins:
    """The allowed origins of tenants, by the revision of their definitions. `own` is the origin of the API."""

    def __init__(self, directory: Directory, public_url: str) -> None:
        self._directory = directory
        self._kept: dict[str, tuple[int, frozenset[str]]] = {}
        self.own = origin_of(public_url).encode()

    async def allow(self, tenant: str, origin: str) -> bool:
        """Return whether a tenant allows an origin. Raises `StoreUnavailable`."""
        await catch_up(self._directory)
        revision = self._directory.revision(tenant)
        kept = self._kept.get(tenant)
        if kept is None or kept[0] != revision:
            key = (tenant, AllowedOrigins, ORIGINS_KEY, None)
            found = (await self._directory.definitions([key])).get(key)
            if len(self._kept) >= ORIGIN_TENANTS_MAX:
                self._kept.clear()
            kept = self._kept[tenant] = (revision, frozenset(found.body.origins if found else ()))
        return is_allowed(origin, kept[1])
