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

    def close(self) -> None:
        """Forget nothing: there is nothing to close."""
