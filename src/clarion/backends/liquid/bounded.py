"""Liquid with every door to unbounded work shut: time, loops, output, names, depth, ranges and exploding filters.

Rendering reads no clock but its own deadline, so a template gives the same text at every retry.
"""

import re
from collections.abc import Iterator
from io import StringIO
from time import thread_time_ns
from typing import Any, Final, TextIO

from liquid import Environment
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, LoopExpression
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.context import RenderContext
from liquid.exceptions import LiquidError, LocalNamespaceLimitError, LoopIterationLimitError
from liquid.expression import Expression
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate
from liquid.undefined import FalsyStrictUndefined
from liquid.utils import ReadOnlyChainMap

from clarion.backends.liquid.filters import CHECKED, REMOVED, checked, measure
from clarion.domain.limits import (
    RENDER_CPU_MS_MAX,
    RENDER_DEPTH_MAX,
    RENDER_LOOP_MAX,
    RENDER_NAMESPACE_BYTES_MAX,
    RENDER_OUTPUT_BYTES_MAX,
)
from clarion.ports.renderer import SyntaxProblem

_TICKS_PER_LOOK: Final = 64
_REFUSED_TAGS: Final = ("include", "render", "tablerow")  # no partials to include; HTML tables are written out
_PAIRS: Final = (("{{", "}}"), ("{%", "%}"))
_BLOCKS: Final = ("raw", "doc", "comment")
_BLANK_RUN: Final = re.compile(r"\s{1000}")


class Missing(FalsyStrictUndefined):
    """An undefined name: an error to print, false in a condition, replaced by `default`."""

    force_liquid_default = True


class BoundedContext(RenderContext):
    """A render context that counts what a template does and stops it in time."""

    __slots__ = ("_deadline_ns", "_disabled", "_iterations", "_ticks")

    def __init__(self, template: BoundTemplate, **options: Any) -> None:
        self._ticks = 0
        self._iterations = 0
        self._deadline_ns = thread_time_ns() + RENDER_CPU_MS_MAX * 1_000_000
        super().__init__(template, **options)
        # Without the built-in `now` and `today`.
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)

    def tick(self) -> None:
        """Count one step and look at the clock every so often."""
        self._ticks += 1
        if self._ticks % _TICKS_PER_LOOK == 0 and thread_time_ns() > self._deadline_ns:
            raise LiquidError(f"rendering took more than {RENDER_CPU_MS_MAX} ms", token=None)

    @property
    def disabled_tags(self) -> list[str]:
        """Names of disabled tags. Every node reads this before it renders, which makes it the place to count nodes."""
        self.tick()
        return self._disabled

    @disabled_tags.setter
    def disabled_tags(self, value: list[str]) -> None:
        self._disabled = value

    def get(self, path: list[object], **options: Any) -> object:
        """Resolve a path, counting it."""
        self.tick()
        return super().get(path, **options)

    def filter(self, name: str, token: Any) -> Any:
        """Return a filter, counting its use and looking at the clock."""
        self._ticks |= _TICKS_PER_LOOK - 1
        self.tick()
        return super().filter(name, token)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Raise when this loop, on top of all those before it, goes over the limit."""
        super().raise_for_loop_limit(length)
        self._iterations += length
        if self._iterations > RENDER_LOOP_MAX:
            raise LoopIterationLimitError("loop iteration limit reached", token=None)

    def assign(self, key: str, val: Any) -> None:
        """Bind a name; a value that is shared many times over counts each time."""
        if measure(val, RENDER_NAMESPACE_BYTES_MAX) > RENDER_NAMESPACE_BYTES_MAX:
            raise LocalNamespaceLimitError("local namespace limit reached", token=None)
        super().assign(key, val)

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """Return a limited buffer that leaves line ends as they are."""
        carry = buf.size if isinstance(buf, LimitedStringIO) else 0
        return LimitedStringIO(limit=RENDER_OUTPUT_BYTES_MAX - carry, newline="")


class BoundedTemplate(BoundTemplate):
    """A template rendered in a `BoundedContext`."""

    context_class = BoundedContext

    def _get_buffer(self) -> StringIO:
        return LimitedStringIO(limit=RENDER_OUTPUT_BYTES_MAX, newline="")


class BoundedEnvironment(Environment):
    """Liquid's standard tags and filters, within limits."""

    template_class = BoundedTemplate
    block_nesting_limit = RENDER_DEPTH_MAX
    context_depth_limit = RENDER_DEPTH_MAX
    loop_iteration_limit = RENDER_LOOP_MAX
    local_namespace_limit = RENDER_NAMESPACE_BYTES_MAX
    output_stream_limit = RENDER_OUTPUT_BYTES_MAX

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(undefined=Missing, autoescape=autoescape)
        for tag in _REFUSED_TAGS:
            del self.tags[tag]
        for name in REMOVED:
            del self.filters[name]
        self.filters.update(CHECKED)
        for name, function in self.filters.items():
            self.filters[name] = checked(name, function)


class BoundedRange(RangeLiteral):
    """A range of a `for` loop, refused before it can be materialised."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        """Return the range if a loop may run over it."""
        value = super().evaluate(context)
        if value and value[-1] - value[0] >= RENDER_LOOP_MAX:
            raise LoopIterationLimitError("loop iteration limit reached", token=self.token)
        return value


def refuse_unclosed(source: str) -> None:
    """Raise `SyntaxProblem` for what would send python-liquid's lexer, a backtracking pattern, over the rest of the
    source again and again: delimiters and blocks without an end, and very long runs of blanks."""
    for opening, closing in _PAIRS:
        last = source.rfind(opening)
        if last != -1 and source.find(closing, last) == -1:
            raise SyntaxProblem(f"'{opening}' without '{closing}'", source.count("\n", 0, last) + 1)
    for block in _BLOCKS:
        starts = [match.start() for match in re.finditer(rf"\{{%-?\s*{block}\b", source)]
        if starts and not re.search(rf"\{{%-?\s*end{block}\b", source[starts[-1] :]):
            raise SyntaxProblem(f"'{block}' without 'end{block}'", source.count("\n", 0, starts[-1]) + 1)
    if run := _BLANK_RUN.search(source):
        raise SyntaxProblem("more than 1,000 blanks in a row", source.count("\n", 0, run.start()) + 1)


def check_tree(template: BoundTemplate) -> None:
    """Bound the ranges of `for` loops. Raises `SyntaxProblem` for a range anywhere else and for unknown filters."""
    context = BoundedContext(template)
    for node in walk(template.nodes, context):
        for expression in node.expressions():
            if isinstance(expression, LoopExpression) and isinstance(expression.iterable, RangeLiteral):
                loop = expression.iterable
                expression.iterable = BoundedRange(loop.token, loop.start, loop.stop)
            for inner in expressions(expression):
                _check_expression(inner, template.env)


def _check_expression(expression: Expression, environment: Environment) -> None:
    line = expression.token.source.count("\n", 0, expression.token.start_index) + 1
    if isinstance(expression, RangeLiteral) and not isinstance(expression, BoundedRange):
        raise SyntaxProblem("a range is only allowed in a for loop", line)
    if isinstance(expression, FilteredExpression):
        for used in expression.filters or ():
            if used.name not in environment.filters:
                raise SyntaxProblem(f"unknown filter '{used.name}'", line)


def walk(nodes: Any, context: RenderContext) -> Iterator[Node]:
    """Yield every node below and including `nodes`."""
    for node in nodes:
        yield node
        yield from walk(node.children(context, include_partials=False), context)


def expressions(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and everything inside it."""
    yield expression
    for child in expression.children():
        yield from expressions(child)
