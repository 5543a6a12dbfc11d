"""Versioned values in memory: for one process, and the reference for other backends."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from clarion.ports.versioned import Change, Swapped, Versioned

N = TypeVar("N", bound=Hashable)
V = TypeVar("V")


class MemoryVersions(Generic[N, V]):
    """Implements `ports/versioned.py` for one thread. `nothing` returns the default for a value that was never
    stored."""

    def __init__(self, nothing: Callable[[], V]) -> None:
        self._nothing: Versioned[V] = Versioned(nothing(), 0)
        self._stored: dict[N, Versioned[V]] = {}
        self._version = 0

    async def read(self, names: Sequence[N]) -> list[Versioned[V]]:
        """Return the values and versions of the names."""
        return [self._stored.get(name, self._nothing) for name in names]

    async def swap(self, groups: Sequence[Sequence[Change[N, V]]]) -> list[Swapped[V]]:
        """Store each group as a whole if all its names are still at the given versions. Return one result per group."""
        return [self._swapped(group) for group in groups]

    def _swapped(self, group: Sequence[Change[N, V]]) -> Swapped[V]:
        now = [self._stored.get(name, self._nothing) for name, _, _ in group]
        if any(one.version != change.version for one, change in zip(now, group, strict=True)):
            return Swapped(stored=False, now=now)
        self._version += 1
        stored = [Versioned(change.value, self._version) for change in group]
        for change, one in zip(group, stored, strict=True):
            self._stored[change.name] = one
        return Swapped(stored=True, now=stored)
