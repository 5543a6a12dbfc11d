"""JSON Schemas of the data of a template: inference from the paths it reads, and lookups of the paths that a schema
declares and requires. Paths have the form that template engines report: `order.number`, `order.lines[].name`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from clarion.domain.limits_content import SCHEMA_DEPTH_MAX

_TOKEN: Final = re.compile(r"\[\]|[^.\[\]]+")
_ITEMS: Final = "[]"
_MEASURES: Final = frozenset({"size", "length", "first", "last"})
"""Properties that template languages define for every list and text."""
_UNDECLARED: Final = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties")
"""Keywords that may declare more than `properties` shows."""


class _Node:
    """The paths read below one value."""

    def __init__(self) -> None:
        self.needed = False
        self.members: dict[str, _Node] = {}

    def add(self, tokens: Iterable[str], needed: bool) -> None:
        node = self
        for token in tokens:
            node = node.members.setdefault(token, _Node())
            node.needed = node.needed or needed


def infer(needed: Iterable[str], read: Iterable[str], sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of data that requires every needed path and declares every path read.

    Types are required only as far as the template shows them (objects and lists that it needs) or the sample does:
    where the sample has a text or a number, both types are allowed.
    """
    root = _Node()
    root.needed = True
    for paths, demanded in ((needed, True), (read, False)):
        for path in paths:
            root.add(_tokens(path), demanded)
    schema = {"type": "object", **_members(root, sample)}
    return schema if "properties" in schema else {**schema, "properties": {}}


def undeclared(schema: Mapping[str, Any], paths: Iterable[str]) -> str | None:
    """Return the first path that a schema does not declare, up to its first undeclared name, or None. A schema without
    `properties`, or with `additionalProperties`, allows every path."""
    for path in paths:
        known: list[str] = []
        at: Any = schema
        for token in _tokens(path):
            known.append(token)
            at = _step(at, token)
            if at is None:
                return _written(known)
    return None


def required_names(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the top-level names that a schema requires."""
    named = schema.get("required")
    return tuple(name for name in named if isinstance(name, str)) if isinstance(named, list) else ()


def not_required(schema: Mapping[str, Any], needed: Iterable[str]) -> tuple[str, ...]:
    """Return the top-level names of paths that a schema does not list explicitly as required."""
    if any(keyword in schema for keyword in _UNDECLARED):
        return ()
    names = dict.fromkeys(tokens[0] for path in needed if (tokens := _tokens(path)))
    return tuple(name for name in names if name not in required_names(schema))


def required_paths(schema: Mapping[str, Any]) -> set[str]:
    """Return every path that a schema lists explicitly as required."""
    return set(_required(schema, [], SCHEMA_DEPTH_MAX))


def says_more_than_names(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema requires more of data than top-level names."""
    if set(schema) - {"type", "required", "properties", "title", "description", "$schema"}:
        return True
    known = schema.get("properties", {})
    return schema.get("type", "object") != "object" or not isinstance(known, dict) or any(known.values())


def _tokens(path: str) -> list[str]:
    return _TOKEN.findall(path)[:SCHEMA_DEPTH_MAX]


def _written(tokens: Iterable[str]) -> str:
    return ".".join(tokens).replace(f".{_ITEMS}", _ITEMS)


def _members(node: _Node, sample: Any) -> dict[str, Any]:
    """Return the schema keywords for the members of an object."""
    known = sample if isinstance(sample, Mapping) else {}
    properties = {name: _value(child, known.get(name)) for name, child in node.members.items()}
    required = [name for name, child in node.members.items() if child.needed]
    return {"properties": properties, **({"required": required} if required else {})} if properties else {}


def _value(node: _Node, sample: Any) -> dict[str, Any]:
    if _ITEMS in node.members:
        first = sample[0] if isinstance(sample, list) and sample else None
        return _typed("array", node) | {"items": _value(node.members[_ITEMS], first)}
    if any(name.isdecimal() for name in node.members) or (
        node.members.keys() <= _MEASURES and not (isinstance(sample, Mapping) and node.members.keys() & sample.keys())
    ):
        return _scalar(sample, node.needed) if not node.members else {}
    return _typed("object", node) | _members(node, sample)


def _typed(name: str, node: _Node) -> dict[str, Any]:
    # A template may test an optional value first, and then any false or empty value is valid, too.
    return {"type": name} if node.needed else {}


def _scalar(sample: Any, needed: bool) -> dict[str, Any]:
    if isinstance(sample, bool):
        types = ["boolean"]
    elif isinstance(sample, str | int | float):
        types = ["string", "number"]
    else:
        return {}
    return {"type": types if needed else [*types, "null"]}


def _step(schema: Any, token: str) -> Any:
    """Return the schema of the value at a token; an empty one where anything is allowed, None where it is not
    declared."""
    if not isinstance(schema, Mapping) or any(keyword in schema for keyword in _UNDECLARED):
        return {}
    if token == _ITEMS or token.isdecimal():
        return schema.get("items", {})
    known, more = schema.get("properties"), schema.get("additionalProperties")
    if not isinstance(known, Mapping) or not known:
        return {} if more is None or more is True else more or None
    if token in known:
        return known[token]
    if more:
        return more
    return {} if token in _MEASURES and schema.get("type") in ("array", "string") else None


def _required(schema: Any, at: list[str], depth: int) -> Iterator[str]:
    if depth == 0 or not isinstance(schema, Mapping):
        return
    known = schema.get("properties")
    for name in required_names(schema):
        yield _written([*at, name])
    for name, member in known.items() if isinstance(known, Mapping) else ():
        yield from _required(member, [*at, name], depth - 1)
    yield from _required(schema.get("items"), [*at, _ITEMS], depth - 1)
