"""Filters that speak the reader's language: the formatters of `content/formatters.py`.

Locale, zone and time are those the render was given, never what a template assigns.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from liquid.context import RenderContext
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context
from liquid.undefined import Undefined

from clarion.content.formatters import FORMATTERS, Formatter, Speech

_PLAIN: Final = frozenset(
    (str, int, float)
)  # asking these whether they are undefined takes longer than formatting them
_SAMPLE_SPEECH: Final = Speech("en", "UTC", 0)


def speech_of(context: RenderContext) -> Speech:
    """Return whom a render speaks to, found out once."""
    held: dict[str, Any] = context.tag_namespace
    if "speech" not in held:
        held["speech"] = Speech.of(context.globals)
    speech: Speech = held["speech"]
    return speech


def try_literals(name: str, literals: Sequence[object]) -> None:
    """Format a sample with the literal arguments of a filter. Raises `FilterArgumentError` when they cannot be."""
    formatter = FORMATTERS[name]
    _run(name, formatter, _SAMPLE_SPEECH, formatter.sample, literals)


def _run(name: str, formatter: Formatter, speech: Speech, value: object, arguments: Sequence[object]) -> str:
    try:
        return formatter.run(speech, value, *arguments)
    except ValueError as error:
        raise FilterArgumentError(f"{name}: {error}", token=None) from None


def _spoken(name: str, formatter: Formatter) -> Callable[..., str]:
    @with_context
    def spoken(value: object, *arguments: object, context: RenderContext) -> str:
        if type(value) not in _PLAIN and isinstance(value, Undefined):
            str(value)  # raises, and says which name it is
        return _run(name, formatter, speech_of(context), value, arguments)

    return spoken


LOCALIZED: Final = {name: _spoken(name, formatter) for name, formatter in FORMATTERS.items()}
"""The filters by the name that templates use."""
