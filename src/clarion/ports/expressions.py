"""Small safe expressions: CEL (https://cel.dev), compiled once, evaluated over plain values."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

Evaluate: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Evaluates a compiled expression over named values. Raises `ExpressionError` when it has no value for them."""


class ExpressionError(Exception):
    """An expression that cannot be compiled or has no value; its text says why in one sentence."""


class Expressions(Protocol):
    """An expression language without loops of its own, side effects or access to anything but its values."""

    def compile(self, text: str) -> Evaluate:
        """Return the compiled expression, cached by text. Raises `ExpressionError` when it does not parse, is longer than
        `EXPRESSION_CHARS_MAX`, or nests macros that iterate."""
        ...
