"""Filters for the recipient's locale: the formatters of `content/formatters.py`.

Locale, zone and time are those of the render, never values that a template assigns.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from liquid.context import RenderContext
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context
from liquid.undefined import Undefined

from clarion.content.formatters import FORMATTERS, FormatContext, Formatter

_PLAIN: Final = frozenset((str, int, float))  # the check whether these are undefined takes longer than formatting them
_SAMPLE_SPEECH: Final = FormatContext("en", "UTC", 0)


def format_context(context: RenderContext) -> FormatContext:
    """Return the format context (locale, zone, time) of a render, computed once per render."""
    held: dict[str, Any] = context.tag_namespace
    if "speech" not in held:
        held["speech"] = FormatContext.of(context.globals)
    speech: FormatContext = held["speech"]
    return speech


def try_literals(name: str, literals: Sequence[object]) -> None:
    """Format a sample with the literal arguments of a filter. Raises `FilterArgumentError` when they are invalid."""
    formatter = FORMATTERS[name]
    _run(name, formatter, _SAMPLE_SPEECH, formatter.sample, literals)


def _run(name: str, formatter: Formatter, speech: FormatContext, value: object, arguments: Sequence[object]) -> str:
    try:
        return formatter.run(speech, value, *arguments)
    except ValueError as error:
        raise FilterArgumentError(f"{name}: {error}", token=None) from None


def _spoken(name: str, formatter: Formatter) -> Callable[..., str]:
    @with_context
    def spoken(value: object, *arguments: object, context: RenderContext) -> str:
        if type(value) not in _PLAIN and isinstance(value, Undefined):
            str(value)  # raises an error that names the variable
        return _run(name, formatter, format_context(context), value, arguments)

    return spoken


LOCALIZED: Final = {name: _spoken(name, formatter) for name, formatter in FORMATTERS.items()}
"""The filters by their names in templates."""
