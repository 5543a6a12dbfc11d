"""Which names a template reads, told apart from those it makes itself."""

from typing import Final

from liquid.ast import ConditionalBlockNode, Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.context import RenderContext
from liquid.expression import Expression
from liquid.template import BoundTemplate

from clarion.backends.liquid.bounded import BoundedContext

_CONDITIONS: Final = (IfNode, UnlessNode, ConditionalBlockNode)


def names(template: BoundTemplate) -> tuple[list[str], bool]:
    """Return the top-level names of `data` that a render needs, and whether `user` is read.

    A name is not needed where a condition asks for it first (`{% if data.x %}{{ data.x }}{% endif %}`) or where it
    has a `default`.
    """
    reader = _Reader(BoundedContext(template))
    for node in template.nodes:
        reader.node(node, frozenset(), frozenset())
    return list(reader.needed), reader.uses_user


class _Reader:
    """Walks a template. `bound` are the names of loops in scope, `optional` the data names asked for before."""

    def __init__(self, context: RenderContext) -> None:
        self.needed: dict[str, None] = {}
        self.uses_user = False
        self._context = context
        self._assigned: set[str] = set()

    def node(self, node: Node, bound: frozenset[str], optional: frozenset[str]) -> None:
        for expression in node.expressions():
            if isinstance(node, _CONDITIONS):
                optional |= self._asked(expression, bound)
            self.expression(expression, bound, optional)
        self._assigned.update(map(str, node.template_scope()))
        bound |= frozenset(map(str, node.block_scope()))
        for child in node.children(self._context, include_partials=False):
            self.node(child, bound, optional)

    def expression(self, expression: Expression, bound: frozenset[str], optional: frozenset[str]) -> None:
        if isinstance(expression, Path):
            self._path(expression, bound, optional)
        for child in expression.children():
            if isinstance(expression, FilteredExpression) and child is expression.left and _has_default(expression):
                self._note_user(child, bound)
            else:
                self.expression(child, bound, optional)

    def _asked(self, expression: Expression, bound: frozenset[str]) -> frozenset[str]:
        found = {self._data_name(expression, bound)} if isinstance(expression, Path) else set()
        for child in expression.children():
            found |= self._asked(child, bound)
        return frozenset(name for name in found if name is not None)

    def _path(self, path: Path, bound: frozenset[str], optional: frozenset[str]) -> None:
        name = self._data_name(path, bound)
        if name is not None and name not in optional:
            self.needed[name] = None
        self._note_user(path, bound)

    def _note_user(self, expression: Expression, bound: frozenset[str]) -> None:
        if isinstance(expression, Path) and expression.path[0] == "user" and not self._is_local("user", bound):
            self.uses_user = True

    def _data_name(self, path: Path, bound: frozenset[str]) -> str | None:
        root = path.path[0]
        if not isinstance(root, str) or self._is_local(root, bound) or root == "user":
            return None
        if root != "data":
            return root
        return path.path[1] if len(path.path) > 1 and isinstance(path.path[1], str) else None

    def _is_local(self, name: str, bound: frozenset[str]) -> bool:
        return name in bound or name in self._assigned


def _has_default(expression: FilteredExpression) -> bool:
    first = next(iter(expression.filters or ()), None)
    return first is not None and first.name == "default"
