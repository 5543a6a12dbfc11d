"""The expression language on the `cel` library (https://github.com/hardbyte/python-common-expression-language, Rust)."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import cel
import msgspec

from clarion.domain.limits import DATA_BYTES_MAX, EXPRESSION_CHARS_MAX, EXPRESSION_WORK_MAX
from clarion.domain.limits_processes import EXPRESSIONS_MAX
from clarion.languages.cel.shape import Shape, shape_of
from clarion.languages.cel.work import work_of
from clarion.ports.expressions import Evaluate, ExpressionError

_FUNCTIONS: Final = frozenset({
    "size", "contains", "startsWith", "endsWith", "int", "uint", "double", "string", "timestamp", "duration",
    "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
})  # fmt: skip
"""Functions that may be called. Not `matches`: a short pattern can take a tenth of a second to compile, at every
call."""
_PARSE_PROBLEM: Final = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?(.+?)(?: expecting .*)?$", re.MULTILINE)
_REASON_CHARS_MAX: Final = 200


class CelExpressions:
    """Implements `ports/expressions.py`.

    An evaluation is bounded before it starts: by the allowed functions, by at most one loop, over a plain path, and by
    `EXPRESSION_WORK_MAX`, measured on the values it is about to read.
    """

    def compile(self, text: str, names: Collection[str] | None = None) -> Evaluate:
        """Return the compiled expression, cached by text. Raises `ExpressionError`."""
        if len(text) > EXPRESSION_CHARS_MAX:
            raise ExpressionError(f"is longer than {EXPRESSION_CHARS_MAX} characters")
        shape, evaluate = _compiled(text)
        for name in sorted(shape.names):
            if names is not None and name not in names:
                raise ExpressionError(f"there is no {name!r}, only {', '.join(names)}")
        return evaluate


@lru_cache(maxsize=EXPRESSIONS_MAX)
def _compiled(text: str) -> tuple[Shape, Evaluate]:
    shape = shape_of(text)
    program = _guarded(lambda: cel.compile(text))
    for name in program.functions():
        # The library lists operators as functions, too, but under names that cannot be written, such as `_+_`.
        if name not in _FUNCTIONS and name.isidentifier():
            raise ExpressionError(f"there is no function {name!r}")
    items = {shape.loop.name} if shape.loop else set()
    if not shape.names | items >= set(program.variables()):
        raise ExpressionError("names are read in a way that is not supported")
    return shape, lambda values: _evaluated(program, shape, values)


def _evaluated(program: cel.Program, shape: Shape, values: Mapping[str, Any]) -> Any:
    given = {name: values[name] for name in shape.names if name in values}
    try:
        work = work_of(shape, given)
    except (TypeError, ValueError, RecursionError):
        raise ExpressionError("reads a value that is not plain data") from None
    if work > EXPRESSION_WORK_MAX:
        raise ExpressionError("is too much work for values as large as these")
    result = _guarded(lambda: program.execute(given))
    if not isinstance(result, str | list | dict):
        return _plain(result)
    plain = _plain(result)
    if len(msgspec.json.encode(plain)) > DATA_BYTES_MAX:
        raise ExpressionError(f"gives more than {DATA_BYTES_MAX} bytes")
    return plain


def _guarded(call: Callable[[], Any]) -> Any:
    """Return the library's result. Raises `ExpressionError` for every error of the library."""
    try:
        return call()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the library is not even an Exception
        raise ExpressionError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    text = str(error)
    if found := _PARSE_PROBLEM.search(text):
        line, column, problem = found.groups()
        place = f"column {column}" if line == "1" else f"line {line}, column {column}"
        return f"{place}: {problem}"[:_REASON_CHARS_MAX]
    if isinstance(error, KeyError):
        return f"there is no {str(error.args[0])[:_REASON_CHARS_MAX]!r}"
    if isinstance(error, ValueError | RecursionError):
        # The library's message contains the value, which is the tenant's data.
        return "reads or gives a value that expressions cannot hold"
    sentence = text.partition("\n")[0].partition(". ")[0]
    return sentence[:_REASON_CHARS_MAX] or "cannot be evaluated"


def _plain(value: Any) -> Any:
    """Return a result that JSON and MessagePack can hold, or an instant. Raises `ExpressionError` for any other
    value."""
    match value:
        case None | bool() | int() | str() | datetime():
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return [_plain(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _plain(item) for key, item in value.items()}
        case _:
            raise ExpressionError("gives neither plain data nor an instant")
