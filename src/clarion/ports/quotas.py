"""The usage of quotas, counted together for all processes of an installation."""

from typing import NamedTuple, Protocol

from clarion.domain.quota import Usage
from clarion.ports.versioned import Swapping


class BucketName(NamedTuple):
    """The owner and kind of a bucket; `key_id` is empty for the tenant's own."""

    tenant: str
    key_id: str
    kind: str


class Quotas(Swapping[BucketName, Usage], Protocol):
    """The usage of buckets, `Usage()` for an unused one. A decision over several buckets is one group. A loss of all
    values only forgets usage, so nothing here needs to survive a power failure."""

    async def forget(self, tenant: str, key_id: str, kinds: tuple[str, str], keep_ms: tuple[int, int]) -> None:
        """Remove the buckets of one owner whose kind lies from the first of `kinds` up to, not including, the last, unless
        their `at_ms` is after the first and not after the last of `keep_ms`. Raises as `swap` does."""
        ...

    def close(self) -> None:
        """Close all connections and files."""
        ...
