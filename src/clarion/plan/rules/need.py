"""Missing facts of a decision: keys that `gather` has to read before the same decision can be made again.

A decision reads its facts through look-ups that raise `MissingFacts` for facts that were not gathered. Code that makes
several decisions at once catches it for each of them and merges the needs, so that one more gathering serves all.
"""

from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

NEED_ROUNDS_MAX: Final = 64
"""Most rounds of gathering for one step; a step that needs more has a bug."""


class Need:
    """Keys of missing facts by kind (`users`, `cells`, ...). Needs are values: `|` merges two."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, Iterable[Hashable]] = MappingProxyType({})) -> None:
        self._keys = {kind: frozenset(some) for kind, some in keys.items() if some}

    def __or__(self, other: "Need") -> "Need":
        kinds = self._keys.keys() | other._keys.keys()
        return Need({kind: self.of(kind) | other.of(kind) for kind in kinds})

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Need) and self._keys == other._keys

    def __hash__(self) -> int:
        return hash(frozenset(self._keys.items()))

    def __repr__(self) -> str:
        return f"Need({ {kind: len(some) for kind, some in self._keys.items()} })"

    def kinds(self) -> Iterable[str]:
        """Return the kinds that have keys."""
        return self._keys.keys()

    def of(self, kind: str) -> frozenset[Hashable]:
        """Return the keys of a kind."""
        return self._keys.get(kind, frozenset())


def merged(needs: Iterable[Need]) -> Need:
    """Return the union of several needs."""
    keys: dict[str, set[Hashable]] = {}
    for need in needs:
        for kind in need.kinds():
            keys.setdefault(kind, set()).update(need.of(kind))
    return Need(keys)


class MissingFacts(Exception):
    """A look-up of a fact that was not gathered."""

    def __init__(self, need: Need) -> None:
        super().__init__(repr(need))
        self.need = need
