"""The names that a template reads from its context, as opposed to those that its blocks bring into scope."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from clarion.content.formatters import FORMATTERS
from clarion.languages.handlebars.language import Node
from clarion.ports.renderer import TemplateReads

Place = tuple[str, ...]
"""The path from a render's context to a value: `("order", "lines[]", "name")`."""

_GUARDS: Final = ("if", "unless", "default", "and", "or", "not", "eq", "ne", "lt", "gt")
_OURS: Final = "_"
_OWN: Final = re.compile(r"\.|this\b(?!-)")


class Scope(NamedTuple):
    """The scope in which names are looked up: `place` of the current value (None when it is not known), the outer
    scope, block parameters by name, paths that a condition has tested, and whether names are also looked up in outer
    scopes, as in a section of Mustache."""

    place: Place | None = ()
    outer: "Scope | None" = None
    bound: Mapping[str, Place | None] = MappingProxyType({})
    asked: frozenset[str] = frozenset()
    section: bool = False


class PathReader:
    """Walks a syntax tree and collects the paths it reads. `roots` are the names of a render's context that it may
    read, None when it may read any; `timed` is whether the text depends on the time of the notification."""

    def __init__(self, program: Node) -> None:
        self.roots: set[str] | None = set()
        self.timed = False
        self._needed: dict[str, None] = {}
        self._read: dict[str, None] = {}
        self._uses_user = False
        self._program(program, Scope())

    @property
    def usage(self) -> TemplateReads:
        """The names and paths that the template reads, in the order of its text."""
        names = dict.fromkeys(path.partition(".")[0].removesuffix("[]") for path in self._needed)
        return TemplateReads(tuple(names), self._uses_user, tuple(self._needed), tuple(self._read))

    def _program(self, program: Node | None, scope: Scope) -> None:
        for node in program["body"] if program else ():
            if node["type"] == "MustacheStatement":
                self._call(node, scope, guarded=False)
            elif node["type"] == "BlockStatement":
                self._block(node, scope)

    def _block(self, node: Node, scope: Scope) -> None:
        name = node["path"]["original"] if node["params"] else "section"
        subject = node["params"][0] if node["params"] else node["path"]
        guarded = name not in ("each", "with") or bool(node.get("inverse"))
        self._value(subject, scope, guarded=guarded)
        asked = scope.asked | (frozenset(self._paths(subject, scope)) if guarded else frozenset())
        scope = scope._replace(asked=asked)
        self._program(node.get("program"), self._inner(name, subject, node.get("program"), scope))
        self._program(node.get("inverse"), scope)

    def _inner(self, name: str, subject: Node, program: Node | None, scope: Scope) -> Scope:
        """Return the scope of a block's body."""
        if name == "section":
            return Scope(None, scope, scope.bound, scope.asked, section=True)
        if name not in ("each", "with"):
            return scope
        place = self._place(subject, scope) if subject["type"] == "PathExpression" else None
        if place and name == "each":
            place = (*place[:-1], f"{place[-1]}[]")
        bound = dict(scope.bound)
        bound.update(zip((program or {}).get("blockParams") or (), (place, None), strict=False))
        return Scope(place or None, scope, bound, scope.asked)

    def _call(self, node: Node, scope: Scope, *, guarded: bool) -> None:
        if not node["params"]:
            self._value(node["path"], scope, guarded=guarded)
            return
        name = node["path"]["original"]
        formatter = FORMATTERS.get(name)
        if formatter is not None:
            self._uses_user |= formatter.zoned
            self.timed |= formatter.timed
        for param in node["params"]:
            self._value(param, scope, guarded=name != "plural" and (guarded or name in _GUARDS))

    def _value(self, node: Node, scope: Scope, *, guarded: bool) -> None:
        if node["type"] == "SubExpression":
            self._call(node, scope, guarded=guarded)
        elif node["type"] == "PathExpression":
            self._path(node, scope, guarded=guarded)

    def _path(self, path: Node, scope: Scope, *, guarded: bool) -> None:
        self._look(path, scope)
        place = self._place(path, scope)
        if place is not None and place[:1] == ("user",):
            self._uses_user = True
        shown = _shown(place)
        if shown is None:
            return
        self._read[shown] = None
        if not guarded and not self._sectional(path, scope) and not _covers(scope.asked, shown):
            self._needed[shown] = None

    def _look(self, path: Node, scope: Scope) -> None:
        """Add the context's name that a path begins with to `roots`; a path without a name may mean the whole
        context."""
        parts = path["parts"]
        if self.roots is None or (path["data"] and parts[0] != "root"):
            return
        begin = parts[1:] if path["data"] else parts
        if begin:
            self.roots.add(begin[0])
        elif path["data"] or self._place(path, scope) in ((), None):
            self.roots = None
            self._uses_user = True

    def _paths(self, node: Node, scope: Scope) -> Iterable[str]:
        """Yield the paths that a condition tests."""
        if node["type"] == "SubExpression":
            for param in node["params"] if node["path"]["original"] != "plural" else ():
                yield from self._paths(param, scope)
        elif node["type"] == "PathExpression":
            shown = _shown(self._place(node, scope))
            if shown is not None:
                yield shown

    @staticmethod
    def _sectional(path: Node, scope: Scope) -> bool:
        return scope.section and not path["data"] and not path["depth"]

    def _place(self, path: Node, scope: Scope) -> Place | None:
        parts = tuple(path["parts"])
        if path["data"]:
            return _joined((), parts[1:]) if parts[0] == "root" else None
        for _ in range(path["depth"]):
            scope = scope.outer or Scope(None)
        own = _OWN.match(path["original"]) is not None
        if parts and not own and parts[0] in scope.bound:
            return _joined(scope.bound[parts[0]], parts[1:])
        if parts and scope.section and not path["depth"] and not own:
            return _joined((), parts)  # a field of the section's value, or of an outer scope
        return _joined(scope.place, parts)


def _joined(place: Place | None, parts: Place) -> Place | None:
    """Return a place extended by names; a number is an item of a list, a last `length` is a list's property."""
    if place is None:
        return None
    for index, part in enumerate(parts):
        if part.isdigit() and place:
            place = (*place[:-1], f"{place[-1]}[]")
        elif part != "length" or index == 0 or index < len(parts) - 1:
            place = (*place, part)
    return place


def _shown(place: Place | None) -> str | None:
    """Return a place as a path below `data`, or None for a place outside `data`."""
    if not place:
        return None
    below = place[1:] if place[0] == "data" else place
    if not below or place[0] in ("user", "brand", "data[]") or place[0].startswith(_OURS):
        return None
    return ".".join(below)


def _covers(asked: frozenset[str], path: str) -> bool:
    return path in asked or any(path.startswith((f"{guard}.", f"{guard}[]")) for guard in asked)
