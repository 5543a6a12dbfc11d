"""Values that many processes change without a lock between reading and storing: compare-and-swap over versions."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

N = TypeVar("N")
V = TypeVar("V")


class Versioned(NamedTuple, Generic[V]):
    """A value and its version: 0 where none was stored, otherwise a number that no later value of that name has."""

    value: V
    version: int


class Swapped(NamedTuple, Generic[V]):
    """Whether a group of values was stored, and the current values of its names: those stored, or another writer's."""

    stored: bool
    now: list[Versioned[V]]


class Change(NamedTuple, Generic[N, V]):
    """A value to store for a name if that is still at a version."""

    name: N
    version: int
    value: V


class Swapping(Protocol[N, V]):
    """A store of versioned values."""

    async def read(self, names: Sequence[N]) -> list[Versioned[V]]:
        """Return values and versions, in the order of the names. Raises `Overloaded` when the store cannot be read now
        and `DurabilityError` when it is broken."""
        ...

    async def swap(self, groups: Sequence[Sequence[Change[N, V]]]) -> list[Swapped[V]]:
        """Store each group as a whole if all its names are still at the versions given, otherwise leave it unchanged;
        groups are independent of each other. No name may occur twice. Raises as `read` does; then nothing is
        stored."""
        ...
