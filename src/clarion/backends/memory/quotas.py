"""Usage of quotas in memory: for one process, and the referee of the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName

T = TypeVar("T")


class MemoryQuotas:
    """Implements `ports/quotas.py` for one thread."""

    def __init__(self) -> None:
        self._usages: dict[BucketName, Usage] = {}

    def change(self, names: Sequence[BucketName], decide: Callable[[list[Usage]], tuple[Sequence[Usage], T]]) -> T:
        """Read buckets, store what `decide` makes of them, and return what it returns beside that."""
        usages, answer = decide([self._usages.get(name, Usage()) for name in names])
        self._usages |= dict(zip(names, usages, strict=True))
        return answer

    def forget(self, tenant: str, key_id: str, kinds: tuple[str, str], keep_ms: tuple[int, int]) -> None:
        """Remove the buckets of one owner and a range of kinds, but for those with a time to keep."""
        for name, usage in list(self._usages.items()):
            whose = name.tenant == tenant and name.key_id == key_id and kinds[0] <= name.kind < kinds[1]
            if whose and not keep_ms[0] < usage.at_ms <= keep_ms[1]:
                del self._usages[name]

    def close(self) -> None:
        """Forget nothing: there is nothing to close."""
