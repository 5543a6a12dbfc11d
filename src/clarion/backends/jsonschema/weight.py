"""How much work a schema is: its nodes, with those counted again that are referred to. A few references to references
would otherwise double the work with every level."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from clarion.domain.limits_content import SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX

_MOVED: Final = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef")
"""Keywords by which a reference could lead where this is not seen here."""
_MAPS: Final = ("properties", "patternProperties", "$defs", "dependentSchemas")
"""Keywords whose members are named by the author, not by the language."""


class Unbounded(ValueError):
    """A schema that is too much work, or whose work cannot be told; the text says why."""


class _Size(NamedTuple):
    """Nodes below a value, itself included, and how many levels there are; references count as what they refer to."""

    nodes: int
    levels: int


def weight_of(schema: Mapping[str, Any]) -> int:
    """Return the number of nodes that a check may visit for one piece of data. Raises `Unbounded`."""
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
            raise Unbounded(f"is more than {SCHEMA_NODES_MAX} keywords, with those counted again that are referred to")
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
                raise Unbounded(f"refers to {pointer[:100]!r}, which is not there")
        return at
