"""The work of checking a schema: its number of nodes, where referenced nodes count again at each reference. A few
references to references could otherwise double the work with every level."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from clarion.domain.limits_content import SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX

_MOVED: Final = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef")
"""Keywords by which a reference could lead to a place that this module does not see."""
_MAPS: Final = ("properties", "patternProperties", "$defs", "dependentSchemas")
"""Keywords whose members are named by the author, not by the language."""


class Unbounded(ValueError):
    """Raised for a schema whose work exceeds the limit or cannot be determined; the text is the reason."""


class _Size(NamedTuple):
    """The number of nodes of a value, itself included, and the number of its levels; a reference counts as its
    target."""

    nodes: int
    levels: int


def weight_of(schema: Mapping[str, Any]) -> int:
    """Return the number of nodes that a check may visit for one value. Raises `Unbounded` when there are too many, or
    they cannot be counted."""
    return _Scale(schema).size(schema, 0).nodes


class _Scale:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._under_way: set[str] = set()
        self._known: dict[str, _Size] = {}

    def size(self, value: Any, depth: int) -> _Size:
        below: list[_Size] = []
        if depth <= SCHEMA_DEPTH_MAX:
            if isinstance(value, Mapping):
                below = [size for name, member in value.items() for size in self._member(name, member, depth)]
            elif isinstance(value, list):
                below = [self.size(item, depth + 1) for item in value]
        nodes = 1 + sum(size.nodes for size in below)
        levels = 1 + max((size.levels for size in below), default=0)
        if max(depth, levels) > SCHEMA_DEPTH_MAX:
            raise Unbounded(f"is nested deeper than {SCHEMA_DEPTH_MAX} levels")
        if nodes > SCHEMA_NODES_MAX:
            raise Unbounded(f"has more than {SCHEMA_NODES_MAX} keywords, counting referenced ones at each reference")
        return _Size(nodes, levels)

    def _member(self, name: str, value: Any, depth: int) -> Iterator[_Size]:
        if name in _MOVED or (name == "$id" and depth and isinstance(value, str)):
            raise Unbounded(f"may not use {name}")
        if name == "$ref" and isinstance(value, str):
            yield self._reference(value, depth)
        elif name == "pattern" and isinstance(value, str):
            yield _Size(len(value), 1)
        elif name in _MAPS and isinstance(value, Mapping):
            for key, member in value.items():
                yield self.size(member, depth + 1)
                if name == "patternProperties":
                    yield _Size(len(key), 1)
        else:
            yield self.size(value, depth + 1)

    def _reference(self, pointer: str, depth: int) -> _Size:
        if pointer in self._under_way:
            raise Unbounded(f"refers to itself by {pointer[:100]!r}")
        known = self._known.get(pointer)
        if known is None:
            self._under_way.add(pointer)
            known = self._known[pointer] = self.size(self._target(pointer), depth + 1)
            self._under_way.discard(pointer)
        return known

    def _target(self, pointer: str) -> Any:
        if pointer != "#" and not pointer.startswith("#/"):
            raise Unbounded(f"refers to {pointer[:100]!r}; only references within the schema (#/...) are followed")
        at: Any = self._root
        for escaped in pointer.split("/")[1:]:
            step = unquote(escaped).replace("~1", "/").replace("~0", "~")
            if isinstance(at, Mapping) and step in at:
                at = at[step]
            elif isinstance(at, Sequence) and not isinstance(at, str) and step.isdecimal() and int(step) < len(at):
                at = at[int(step)]
            else:
                raise Unbounded(f"refers to {pointer[:100]!r}, which does not exist")
        return at
