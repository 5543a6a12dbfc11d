"""How much work a schema is: its nodes, with those counted again that are referred to. A few references to references
would otherwise double the work with every level."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from clarion.domain.limits_content import SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX

_MOVED: Final = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef")
"""Keywords by which a reference could lead where this is not seen here."""
_MAPS: Final = ("properties", "patternProperties", "$defs", "dependentSchemas")
"""Keywords whose members are named by the author, not by the language."""


class Unbounded(ValueError):
    """A schema that is too much work, or whose work cannot be told; the text says why."""


def weight_of(schema: Mapping[str, Any]) -> int:
    """Return the number of nodes that a check may visit for one piece of data. Raises `Unbounded`."""
    return _Scale(schema).node(schema, 0)


class _Scale:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._under_way: set[str] = set()
        self._known: dict[str, int] = {}

    def node(self, value: Any, depth: int) -> int:
        if depth > SCHEMA_DEPTH_MAX:
            raise Unbounded(f"is nested deeper than {SCHEMA_DEPTH_MAX} levels")
        weight = 1
        if isinstance(value, Mapping):
            weight += sum(self._member(name, member, depth) for name, member in value.items())
        elif isinstance(value, list):
            weight += sum(self.node(item, depth + 1) for item in value)
        return _bounded(weight)

    def _member(self, name: str, value: Any, depth: int) -> int:
        if name in _MOVED or (name == "$id" and depth and isinstance(value, str)):
            raise Unbounded(f"may not use {name}")
        if name == "$ref" and isinstance(value, str):
            return self._reference(value)
        if name == "pattern" and isinstance(value, str):
            return len(value)
        if name in _MAPS and isinstance(value, Mapping):
            return sum(
                len(key) * (name == "patternProperties") + self.node(one, depth + 1) for key, one in value.items()
            )
        return self.node(value, depth + 1)

    def _reference(self, pointer: str) -> int:
        if pointer in self._known:
            return self._known[pointer]
        if pointer in self._under_way:
            raise Unbounded(f"refers to itself by {pointer[:100]!r}")
        self._under_way.add(pointer)
        weight = self._known[pointer] = self.node(self._target(pointer), 0)
        self._under_way.discard(pointer)
        return weight

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


def _bounded(weight: int) -> int:
    if weight > SCHEMA_NODES_MAX:
        raise Unbounded(f"is more than {SCHEMA_NODES_MAX} keywords, with those counted again that are referred to")
    return weight
