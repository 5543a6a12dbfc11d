"""Faster ways to do what python-liquid's nodes and expressions do, for the shapes that templates are mostly made of.

Whatever has another shape goes the old way; a property test holds both to the same text.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from liquid.ast import BlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path, PositionalArgument
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.logical import BooleanExpression, EqExpression, is_truthy
from liquid.builtin.expressions.primitive import FloatLiteral, IntegerLiteral, StringLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.context import RenderContext
from liquid.exceptions import LiquidError, LiquidTypeError
from liquid.stringify import to_liquid_string
from liquid.template import BoundTemplate
from markupsafe import Markup, escape

from clarion.backends.liquid.bounded import FILTER_STEPS, SIZED, BoundedContext
from clarion.backends.liquid.parsing import expressions, walk

_BLOCK_STEPS: Final = 16
"""What a block counts on top of its nodes: a single one may be a `case` of thousands of texts."""
_PLAIN: Final = frozenset((str, Markup, int, float))
_LITERALS: Final = (StringLiteral, IntegerLiteral, FloatLiteral)


class SwiftBlock(BlockNode):
    """A block that counts its nodes at once."""

    __slots__ = ()

    def render(self, context: Any, buffer: Any) -> int:
        """Render all nodes of the block."""
        context.step(len(self.nodes) + _BLOCK_STEPS)
        if self.blank:
            return self.render_to_output(context, buffer)
        for node in self.nodes:
            node.render(context, buffer)
        return 0


class SwiftContent(ContentNode):
    """Text of the template."""

    __slots__ = ()

    def render(self, context: Any, buffer: Any) -> int:
        """Write the text."""
        buffer.write(self.text)
        return 0


class SwiftOutput(OutputNode):
    """An output that knows texts, the most frequent of all values."""

    __slots__ = ()

    def render(self, context: Any, buffer: Any) -> int:
        """Write the value, escaped where the template is HTML."""
        value = self.expression.evaluate(context)
        if type(value) is not str:
            value = to_liquid_string(value, context.autoescape)
        elif context.autoescape and not value.isalnum():
            value = escape(value)
        buffer.write(value)
        return 0


class SwiftIf(IfNode):
    """An `if` that does not ask whether it may be used."""

    __slots__ = ()

    render = IfNode.render_to_output


class SwiftFor(ForNode):
    """A `for` that does not ask whether it may be used."""

    __slots__ = ()

    render = ForNode.render_to_output


class SwiftTruth(BooleanExpression):
    """A condition that knows that most values are true."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        """Return whether the value is neither false, nil nor missing."""
        value = self.expression.evaluate(context)
        return True if type(value) in _PLAIN or value is True else is_truthy(value)


class SwiftEqual(EqExpression):
    """A comparison that knows texts and numbers."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Return whether both are the same."""
        left, right = self.left.evaluate(context), self.right.evaluate(context)
        plain = type(left) in _PLAIN and type(right) in _PLAIN
        return left == right if plain else super().evaluate(context)


class SwiftPath(Path):
    """A path of names that are all there."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Return what stands there, or whatever python-liquid makes of it."""
        names = iter(self.path)
        root = next(names)
        for scope in context.scope.maps:  # type: ignore[attr-defined] # that of a BoundedContext
            if root in scope:
                value: Any = scope[root]
                break
        else:
            return super().evaluate(context)
        for name in names:
            if type(value) is not dict or name not in value:
                return super().evaluate(context)
            value = value[name]
        if type(value) in SIZED:
            context.weigh(value)  # type: ignore[attr-defined]
        return value


class SwiftFilter(Filter):
    """A use of a filter that is looked up once, as are arguments that are literals."""

    __slots__ = ("_function", "_literals", "_wants_context")

    def __init__(self, used: Filter, template: BoundTemplate) -> None:
        super().__init__(used.token, used.name, used.args)
        function = template.env.filters[used.name]
        if getattr(function, "with_environment", False):
            function = partial(function, environment=template.env)
        self._function: Callable[..., object] = function
        self._wants_context = getattr(function, "with_context", False)
        self._literals: list[object] | None = None
        if all(isinstance(argument.value, _LITERALS) for argument in used.args):
            context = BoundedContext(template)
            self._literals = [argument.value.evaluate(context) for argument in used.args]

    def evaluate(self, left: object, context: Any) -> object:
        """Return what the filter makes of a value. Errors say where it stands."""
        context.step(FILTER_STEPS)
        arguments = self._literals
        if arguments is None:
            arguments = [argument.value.evaluate(context) for argument in self.args]
        try:
            if self._wants_context:
                return self._function(left, *arguments, context=context)
            return self._function(left, *arguments)
        except TypeError as error:
            raise LiquidTypeError(f"{self.name}: {error}", token=self.token) from error
        except LiquidError as error:
            error.token = error.token or self.token
            raise


_SWIFTER: Final[dict[type, type]] = {
    BlockNode: SwiftBlock,
    ContentNode: SwiftContent,
    OutputNode: SwiftOutput,
    IfNode: SwiftIf,
    ForNode: SwiftFor,
    BooleanExpression: SwiftTruth,
    EqExpression: SwiftEqual,
    Path: SwiftPath,
}
"""Classes of the same layout, so that a node can change its class where it stands."""


def quicken(template: BoundTemplate) -> None:
    """Make a checked tree render faster."""
    for node in walk(template.nodes, BoundedContext(template)):
        for expression in node.expressions():
            for inner in expressions(expression):
                _quicken_expression(inner, template)
        if isinstance(node, OutputNode) and isinstance(node.expression, FilteredExpression):
            plain = not node.expression.filters
            node.expression = node.expression.left if plain else node.expression
        _change(node)


def _quicken_expression(expression: object, template: BoundTemplate) -> None:
    if isinstance(expression, FilteredExpression) and expression.filters:
        expression.filters = [
            SwiftFilter(used, template) if all(isinstance(it, PositionalArgument) for it in used.args) else used
            for used in expression.filters
        ]
    elif not isinstance(expression, Path) or all(isinstance(name, str | int) for name in expression.path):
        _change(expression)


def _change(part: object) -> None:
    if swifter := _SWIFTER.get(type(part)):
        part.__class__ = swifter
