"""From source to a checked tree: all errors of a template are reported when it is saved, with line and column."""

import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from liquid.ast import Node
from liquid.builtin.expressions import (
    FilteredExpression,
    KeywordArgument,
    LoopExpression,
    PositionalArgument,
)
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.primitive import Literal, RangeLiteral
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.template import BoundTemplate
from liquid.token import Token

from clarion.content.formatters import FORMATTERS
from clarion.languages.liquid.bounded import BoundedContext, BoundedEnvironment, BoundedRange
from clarion.languages.liquid.localized import try_literals
from clarion.languages.liquid.scanning import place
from clarion.ports.renderer import SyntaxProblem

_SIGNATURES_MAX: Final = 256


def parse(source: str, environment: BoundedEnvironment) -> BoundTemplate:
    """Return the tree of a scanned source, with bounded ranges in loops. Raises `SyntaxProblem` for invalid syntax,
    unknown filters, wrong numbers of arguments, invalid literal arguments, and a range outside of a loop."""
    try:
        template = environment.from_string(source)
    except LiquidError as error:
        raise SyntaxProblem(str(error.message), *_place(error.token, source)) from error
    for node in walk(template.nodes, BoundedContext(template)):
        for expression in node.expressions():
            if isinstance(expression, LoopExpression) and isinstance(expression.iterable, RangeLiteral):
                loop = expression.iterable
                expression.iterable = BoundedRange(loop.token, loop.start, loop.stop)
            for inner in expressions(expression):
                _check(inner, template, source)
    return template


def walk(nodes: Any, context: BoundedContext) -> Iterator[Node]:
    """Yield every node below and including `nodes`."""
    for node in nodes:
        yield node
        yield from walk(node.children(context, include_partials=False), context)


def expressions(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and everything inside it."""
    yield expression
    for child in expression.children():
        yield from expressions(child)


def _place(token: Token | None, source: str) -> tuple[int, int]:
    """Return the line and column of a token; without a token, those of the end of the source."""
    return place(source, len(source) if token is None or token.start_index < 0 else token.start_index)


def _check(expression: Expression, template: BoundTemplate, source: str) -> None:
    if isinstance(expression, RangeLiteral) and not isinstance(expression, BoundedRange):
        raise SyntaxProblem("a range is only allowed in a for loop", *_place(expression.token, source))
    if isinstance(expression, FilteredExpression):
        for used in expression.filters or ():
            if used.name not in template.env.filters:
                raise SyntaxProblem(f"unknown filter '{used.name}'", *_place(used.token, source))
            try:
                _check_arguments(used, template)
            except (TypeError, LiquidError) as error:
                detail = str(error.message) if isinstance(error, LiquidError) else f"{used.name}: {error}"
                raise SyntaxProblem(detail, *_place(used.token, source)) from None


def _check_arguments(used: Filter, template: BoundTemplate) -> None:
    """Raise `TypeError` when the arguments do not fit, `LiquidError` when a formatter cannot use those that are literals."""
    positional = [argument.value for argument in used.args if isinstance(argument, PositionalArgument)]
    named = {argument.name: None for argument in used.args if isinstance(argument, KeywordArgument)}
    formatter = FORMATTERS.get(used.name)
    if formatter is None:
        _signature(template.env.filters[used.name]).bind(None, *positional, **named)
        return
    fewest, most = (count - 1 for count in formatter.arguments)
    if named or not fewest <= len(positional) <= most:
        raise TypeError(f"takes {fewest} argument" if fewest == most else f"takes {fewest} or {most} arguments")
    if all(isinstance(value, Literal) for value in positional):
        context = BoundedContext(template)
        try_literals(used.name, [value.evaluate(context) for value in positional])


@lru_cache(maxsize=_SIGNATURES_MAX)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a filter for templates, without the arguments that python-liquid passes itself."""
    signature = inspect.signature(function)
    given = ("context", "environment")
    return signature.replace(parameters=[it for name, it in signature.parameters.items() if name not in given])
