"""Faster versions of python-liquid's nodes and expressions, for the shapes that most templates consist of.

All other shapes use python-liquid's own code; a property test checks that both return the same text.
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

from clarion.languages.liquid.bounded import FILTER_STEPS, SIZED, BoundedContext
from clarion.languages.liquid.parsing import expressions, walk

_BLOCK_STEPS: Final = 16
"""Steps that a block counts in addition to its nodes: a single node may be a `case` of thousands of texts."""
_PLAIN: Final = frozenset((str, Markup, int, float))
_LITERALS: Final = (StringLiteral, IntegerLiteral, FloatLiteral)


class FastBlock(BlockNode):
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


class FastContent(ContentNode):
    """Text of the template."""

    __slots__ = ()

    def render(self, context: Any, buffer: Any) -> int:
        """Write the text."""
        buffer.write(self.text)
        return 0


class FastOutput(OutputNode):
    """An output with a fast path for texts, the most frequent values."""

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


class FastIf(IfNode):
    """An `if` without the check whether the tag is disabled."""

    __slots__ = ()

    render = IfNode.render_to_output


class FastFor(ForNode):
    """A `for` without the check whether the tag is disabled."""

    __slots__ = ()

    render = ForNode.render_to_output


class FastTruth(BooleanExpression):
    """A condition with a fast path for true values, which are the most frequent."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> bool:
        """Return whether the value is neither false, nil nor missing."""
        value = self.expression.evaluate(context)
        return True if type(value) in _PLAIN or value is True else is_truthy(value)


class FastEqual(EqExpression):
    """A comparison with a fast path for texts and numbers."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Return whether both are equal."""
        left, right = self.left.evaluate(context), self.right.evaluate(context)
        plain = type(left) in _PLAIN and type(right) in _PLAIN
        return left == right if plain else super().evaluate(context)


class FastPath(Path):
    """A path with a fast lookup when all its names exist."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Return the value at the path, or python-liquid's result for a path that is not found this way."""
        names = iter(self.path)
        root = next(names)
        for scope in context.scope.maps:  # type: ignore[attr-defined] # the context is a BoundedContext
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


class FastFilter(Filter):
    """A use of a filter that is looked up once, with its literal arguments evaluated once."""

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
        """Return the filter's result for a value. Errors hold the filter's place in the source."""
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
    BlockNode: FastBlock,
    ContentNode: FastContent,
    OutputNode: FastOutput,
    IfNode: FastIf,
    ForNode: FastFor,
    BooleanExpression: FastTruth,
    EqExpression: FastEqual,
    Path: FastPath,
}
"""Replacement classes with the same layout, so that a node's class can be changed in place."""


def speed_up(template: BoundTemplate) -> None:
    """Replace the classes of a checked tree's nodes by faster ones, in place."""
    for node in walk(template.nodes, BoundedContext(template)):
        for expression in node.expressions():
            for inner in expressions(expression):
                _speed_up_expression(inner, template)
        if isinstance(node, OutputNode) and isinstance(node.expression, FilteredExpression):
            plain = not node.expression.filters
            node.expression = node.expression.left if plain else node.expression
        _change(node)


def _speed_up_expression(expression: object, template: BoundTemplate) -> None:
    if isinstance(expression, FilteredExpression) and expression.filters:
        expression.filters = [
            FastFilter(used, template) if all(isinstance(it, PositionalArgument) for it in used.args) else used
            for used in expression.filters
        ]
    elif not isinstance(expression, Path) or all(isinstance(name, str | int) for name in expression.path):
        _change(expression)


def _change(part: object) -> None:
    if swifter := _SWIFTER.get(type(part)):
        part.__class__ = swifter
