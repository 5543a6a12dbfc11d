"""Small safe expressions: CEL (https://cel.dev), compiled once, evaluated over plain values."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeAlias

Evaluate: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Evaluates a compiled expression over named values: JSON data and datetimes. The result is of the same types. Raises
`ExpressionError` when the expression has no value for them."""


class ExpressionError(Exception):
    """An expression that cannot be compiled or has no value; its text says why in one sentence."""


class Expressions(Protocol):
    """An expression language without side effects or access to anything but its values, and with bounded work."""

    def compile(self, text: str, names: Collection[str] | None = None) -> Evaluate:
        """Return the compiled expression, cached by text. Raises `ExpressionError` when it does not parse, is longer than
        `EXPRESSION_CHARS_MAX`, iterates more than once, calls an unknown function, or reads a name that is not one of
        `names` (None allows any)."""
        ...


def fault_of(expressions: Expressions, text: str, names: Collection[str]) -> str:
    """Return why an expression cannot be compiled, empty when it can."""
    try:
        expressions.compile(text, names)
    except ExpressionError as error:
        return str(error)
    return ""
