"""Values of expressions, as instances store them."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clarion.plan.rules.workflow.state import NoValue
from clarion.ports.expressions import ExpressionError, Expressions

_PLAIN: Final = (str, int, float, bool, type(None))


def value_of(expressions: Expressions, text: str, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression over named values. Raises `NoValue`.

    It depends on nothing else: `expressions` only compiles texts and caches the compiled ones.
    """
    try:
        value = expressions.compile(text)(names)
    except ExpressionError as error:
        raise NoValue(str(error)) from None
    # Times become text, so that a value is the same before and after it is stored.
    return value if type(value) in _PLAIN else msgspec.to_builtins(value)
