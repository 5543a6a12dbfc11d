"""A cache of the quotas of tenants, which every request asks for: read once, and valid until the tenant's revision changes."""

from collections.abc import Mapping

from clarion.domain.limits_processes import REQUEST_RATES_KEPT_MAX
from clarion.domain.quota import Quota
from clarion.ports.directory import Directory
from clarion.runtime.tenant_cache import TenantCache


class KnownQuotas:
    """The cached quotas of tenants."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: TenantCache[list[Mapping[str, Quota]]] = TenantCache(directory, REQUEST_RATES_KEPT_MAX, list)

    async def of(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's keys by key id, and its own under an empty one. Raises `StoreUnavailable`."""
        known = self._known.of(tenant)
        if not known:
            known.append(await self._directory.quotas(tenant))
        return known[0]
