"""What a decision lacks: keys that `gather` has to read before the same decision can be made again.

A decision reads its facts through look-ups that raise `Lacking` for what was not gathered. Whoever decides several things
at once catches it for each of them and merges the needs, so that one more gathering serves all.
"""

from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

NEED_ROUNDS_MAX: Final = 64
"""How often one step may ask for more; a step that asks again is a fault of ours."""


class Need:
    """Keys by the kind of fact they stand for (`users`, `cells`, ...). Needs are values: `|` merges two."""

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
        """Return the kinds of which there are keys."""
        return self._keys.keys()

    def of(self, kind: str) -> frozenset[Hashable]:
        """Return the keys of a kind."""
        return self._keys.get(kind, frozenset())


def merged(needs: Iterable[Need]) -> Need:
    """Return one need for all of several."""
    keys: dict[str, set[Hashable]] = {}
    for need in needs:
        for kind in need.kinds():
            keys.setdefault(kind, set()).update(need.of(kind))
    return Need(keys)


class Lacking(Exception):
    """A look-up of a fact that was not gathered."""

    def __init__(self, need: Need) -> None:
        super().__init__(repr(need))
        self.need = need
