"""The data that a template reads, as opposed to the names that it assigns itself."""

from collections.abc import Mapping
from typing import Final

from liquid.ast import ConditionalBlockNode, Node
from liquid.builtin.expressions import FilteredExpression, LoopExpression, Path
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression
from liquid.template import BoundTemplate

from clarion.content.formatters import FORMATTERS
from clarion.languages.liquid.bounded import BoundedContext
from clarion.ports.renderer import TemplateReads

_ZONED: Final = frozenset(name for name, formatter in FORMATTERS.items() if formatter.zoned)
_CONDITIONS: Final = (IfNode, UnlessNode, ConditionalBlockNode)
_ITEMS: Final = "[]"
_SAME_ITEMS: Final = frozenset(("compact", "reject", "reverse", "sort", "sort_natural", "uniq", "where"))
_ONE_ITEM: Final = frozenset(("find", "first", "last"))
_SHORTHANDS: Final = frozenset(("first", "last", "size"))
_GIVEN: Final = frozenset(("user", "brand", "_locale", "_zone", "_at_ms"))
_SEPARATORS: Final = frozenset(".[]")

Place = tuple[str, ...]
"""A path in the data: names, and `[]` for any item of a list."""
Names = Mapping[str, Place | None]
"""The places of names that the template assigns; None for a name without a place in the data."""


def usage(template: BoundTemplate) -> TemplateReads:
    """Return the names and paths that a checked template reads.

    A place is not needed where a condition tests it first (`{% if data.x %}{{ data.x }}{% endif %}`) or where it has a
    `default`. A loop's variable counts as reading the list's items, an assigned name as reading the place it was
    assigned from.
    """
    reader = _Reader(BoundedContext(template))
    for node in template.nodes:
        reader.node(node, {}, frozenset())
    return TemplateReads(
        variables=tuple(dict.fromkeys(place[0] for place in reader.needed)),
        uses_user=reader.uses_user,
        needed_paths=tuple(dict.fromkeys(map(_written, reader.needed))),
        read_paths=tuple(dict.fromkeys(map(_written, reader.read))),
    )


def _written(place: Place) -> str:
    return ".".join(place).replace("." + _ITEMS, _ITEMS)


class _Reader:
    """Walks a template. `bound` are the names of loops in scope, `asked` the places that conditions have tested."""

    def __init__(self, context: BoundedContext) -> None:
        self.needed: dict[Place, None] = {}
        self.read: dict[Place, None] = {}
        self.uses_user = False
        self._context = context
        self._assigned: dict[str, Place | None] = {}

    def node(self, node: Node, bound: Names, asked: frozenset[Place]) -> None:
        for expression in node.expressions():
            if isinstance(node, _CONDITIONS):
                asked |= self._asked(expression, bound)
            self.expression(expression, bound, asked)
        made = self._source(node.expression, bound) if isinstance(node, AssignNode) else None
        self._assigned.update((str(name), made) for name in node.template_scope())
        if isinstance(node, ForNode):
            bound = {**bound, **self._loop(node.expression, bound)}
        for child in node.children(self._context, include_partials=False):
            self.node(child, bound, asked)

    def expression(self, expression: Expression, bound: Names, asked: frozenset[Place]) -> None:
        if isinstance(expression, Path):
            self._path(expression, bound, asked)
        if isinstance(expression, FilteredExpression):
            self.uses_user |= any(used.name in _ZONED for used in _filters(expression))
        for child in expression.children():
            optional = (
                isinstance(expression, FilteredExpression) and child is expression.left and _has_default(expression)
            )
            self.expression(child, bound, asked | self._asked(child, bound) if optional else asked)

    def _path(self, path: Path, bound: Names, asked: frozenset[Place]) -> None:
        place = self._place(path, bound)
        if path.path[0] == "user" and not self._is_local("user", bound):
            self.uses_user = True
        if place:
            self.read[place] = None
            if not any(place[:length] in asked for length in range(1, len(place) + 1)):
                self.needed[place] = None

    def _asked(self, expression: Expression, bound: Names) -> frozenset[Place]:
        own = self._place(expression, bound) if isinstance(expression, Path) else None
        inner = (self._asked(child, bound) for child in expression.children())
        return frozenset((own,) if own else ()).union(*inner)

    def _place(self, path: Path, bound: Names) -> Place | None:
        """Return the place of a path, as far as it can be determined; None when it is not in the data."""
        root = path.path[0]
        if not isinstance(root, str) or (root in _GIVEN and not self._is_local(root, bound)):
            return None
        if self._is_local(root, bound):
            place = bound[root] if root in bound else self._assigned[root]
        else:
            place = () if root == "data" else (root,)
        if place is None:
            return None
        for segment in path.path[1:]:
            if isinstance(segment, int) and place and place[-1] == _ITEMS:
                return place[:-1]  # possibly a pair of name and value: a loop may be over a map
            if isinstance(segment, int):
                place = (*place, _ITEMS)
            elif isinstance(segment, str) and segment not in _SHORTHANDS and _SEPARATORS.isdisjoint(segment):
                place = (*place, segment)
            else:
                break
        return place

    def _loop(self, loop: LoopExpression, bound: Names) -> dict[str, Place | None]:
        """Return the places of the names that a loop defines."""
        over = self._place(loop.iterable, bound) if isinstance(loop.iterable, Path) else None
        return {loop.identifier: (*over, _ITEMS) if over else None, "forloop": None}

    def _source(self, expression: Expression, bound: Names) -> Place | None:
        """Return the place that a value comes from if it is unchanged, else None."""
        if not isinstance(expression, FilteredExpression) or not isinstance(expression.left, Path):
            return None
        place = self._place(expression.left, bound)
        for used in _filters(expression):
            if not place or used.name not in _SAME_ITEMS | _ONE_ITEM:
                return None
            place = (*place, _ITEMS) if used.name in _ONE_ITEM else place
        return place or None

    def _is_local(self, name: str, bound: Names) -> bool:
        return name in bound or name in self._assigned


def _filters(expression: FilteredExpression) -> list[Filter]:
    return expression.filters or []


def _has_default(expression: FilteredExpression) -> bool:
    return any(used.name == "default" for used in _filters(expression)[:1])
