"""A cache of the quotas of tenants, which every request asks for: read once, and valid until the tenant's revision changes."""

from collections.abc import Mapping
from typing import NamedTuple

from clarion.domain.limits_processes import REQUEST_RATES_KEPT_MAX
from clarion.domain.quota import Quota
from clarion.ports.directory import Directory


class _Known(NamedTuple):
    """The quotas of a tenant, read after its revision."""

    revision: int
    quotas: Mapping[str, Quota]


class KnownQuotas:
    """The quotas of tenants, cached for as long as their revisions are the same and the directory is current."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: dict[str, _Known] = {}

    async def of(self, tenant: str) -> Mapping[str, Quota]:
        """Return the quotas of a tenant's keys by key id, and its own under an empty one. Raises `StoreUnavailable`."""
        directory = self._directory
        revision = directory.revision(tenant)  # read before the quotas, so that a later change counts
        known = self._known.get(tenant)
        if known is not None and known.revision == revision and directory.is_current():
            return known.quotas
        quotas = await directory.quotas(tenant)
        if len(self._known) >= REQUEST_RATES_KEPT_MAX:
            self._known.clear()
        self._known[tenant] = _Known(revision, quotas)
        return quotas
