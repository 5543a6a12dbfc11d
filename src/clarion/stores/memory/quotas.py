"""Usage of quotas in memory: for one process, and the reference for other backends."""

from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName
from clarion.stores.memory.versions import MemoryVersions


class MemoryQuotas(MemoryVersions[BucketName, Usage]):
    """Implements `ports/quotas.py` for one thread."""

    def __init__(self) -> None:
        super().__init__(Usage)

    async def forget(self, tenant: str, key_id: str, kinds: tuple[str, str], keep_ms: tuple[int, int]) -> None:
        """Remove the buckets of one owner and a range of kinds, except those whose time is within `keep_ms`."""
        for name, (usage, _) in list(self._stored.items()):
            owner = name.tenant == tenant and name.key_id == key_id and kinds[0] <= name.kind < kinds[1]
            if owner and not keep_ms[0] < usage.at_ms <= keep_ms[1]:
                del self._stored[name]

    def close(self) -> None:
        """Do nothing: nothing is open."""
