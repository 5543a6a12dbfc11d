"""JSON Schemas of the data of a template: inferred from what it reads, and asked what they declare and demand.

Paths are written as engines report them: `order.number`, `order.lines[].name`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from clarion.domain.limits_content import SCHEMA_DEPTH_MAX

_TOKEN: Final = re.compile(r"\[\]|[^.\[\]]+")
_ITEMS: Final = "[]"
_MEASURES: Final = frozenset({"size", "length", "first", "last"})
"""Names that template languages know of every list and text."""
_UNTOLD: Final = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties")
"""Keywords that may declare more than `properties` shows."""


class _Node:
    """What is read of one value."""

    def __init__(self) -> None:
        self.needed = False
        self.members: dict[str, _Node] = {}

    def add(self, tokens: Iterable[str], needed: bool) -> None:
        node = self
        for token in tokens:
            node = node.members.setdefault(token, _Node())
            node.needed = node.needed or needed


def infer(needed: Iterable[str], read: Iterable[str], sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of data that demands every needed path and knows of every one read.

    Types are demanded only as far as the template shows them (objects and lists of what it needs) or the sample does:
    for a scalar that is text or a number there, both do.
    """
    root = _Node()
    root.needed = True
    for paths, demanded in ((needed, True), (read, False)):
        for path in paths:
            root.add(_tokens(path), demanded)
    schema = {"type": "object", **_members(root, sample)}
    return schema if "properties" in schema else {**schema, "properties": {}}


def undeclared(schema: Mapping[str, Any], paths: Iterable[str]) -> str | None:
    """Return the first path that a schema does not declare, as far as it is undeclared. A schema without `properties`, or
    with `additionalProperties`, leaves everything open."""
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
    """Return the top-level names that data has to bring."""
    named = schema.get("required")
    return tuple(name for name in named if isinstance(name, str)) if isinstance(named, list) else ()


def not_required(schema: Mapping[str, Any], needed: Iterable[str]) -> tuple[str, ...]:
    """Return the top-level names of paths that a schema does not demand, as far as it says so outright."""
    if any(keyword in schema for keyword in _UNTOLD):
        return ()
    names = dict.fromkeys(tokens[0] for path in needed if (tokens := _tokens(path)))
    return tuple(name for name in names if name not in required_names(schema))


def required_paths(schema: Mapping[str, Any]) -> set[str]:
    """Return every path that a schema demands, as far as it says so outright."""
    return set(_required(schema, [], SCHEMA_DEPTH_MAX))


def says_more_than_names(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema demands anything of data beyond top-level names being there."""
    if set(schema) - {"type", "required", "properties", "title", "description", "$schema"}:
        return True
    known = schema.get("properties", {})
    return schema.get("type", "object") != "object" or not isinstance(known, dict) or any(known.values())


def _tokens(path: str) -> list[str]:
    return _TOKEN.findall(path)[:SCHEMA_DEPTH_MAX]


def _written(tokens: Iterable[str]) -> str:
    return ".".join(tokens).replace(f".{_ITEMS}", _ITEMS)


def _members(node: _Node, sample: Any) -> dict[str, Any]:
    """Return the keywords for what is read below an object."""
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
    # What a template does not need it may ask for first, and then anything false or empty does as well.
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
    """Return the schema of what a token leads to; an empty one where everything goes, None where it is not declared."""
    if not isinstance(schema, Mapping) or any(keyword in schema for keyword in _UNTOLD):
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
