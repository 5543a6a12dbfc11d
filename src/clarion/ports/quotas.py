"""How much of each quota is used, as one count for all processes of an installation."""

from typing import NamedTuple, Protocol

from clarion.domain.quota import Usage
from clarion.ports.versioned import Swapping


class BucketName(NamedTuple):
    """Whose bucket it is and which; `key_id` is empty for the tenant's own."""

    tenant: str
    key_id: str
    kind: str


class Quotas(Swapping[BucketName, Usage], Protocol):
    """Usage of buckets, `Usage()` of one nobody has used. A decision over several buckets is one group. Losing it all only
    forgets what was used, so nothing here needs to survive a power cut."""

    async def forget(self, tenant: str, key_id: str, kinds: tuple[str, str], keep_ms: tuple[int, int]) -> None:
        """Remove the buckets of one owner whose kind lies from the first of `kinds` up to, not including, the last, unless
        their `at_ms` is after the first and not after the last of `keep_ms`. Raises as `swap` does."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
