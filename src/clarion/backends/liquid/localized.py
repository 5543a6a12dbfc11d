"""Filters that speak the reader's language: `money`, `format_date` and their like, over `content/wording.py`.

They read `_locale`, `_zone` and `_at_ms` of what the render was given, never of what a template assigns.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, NamedTuple

from liquid.context import RenderContext
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context
from liquid.undefined import Undefined

from clarion.content import wording

_LOCALE: Final = "en"
_ZONE: Final = "UTC"


def _money(value: object, currency: object, *, context: RenderContext) -> str:
    return wording.money(value, currency, _locale(context))


def _number(value: object, *, context: RenderContext) -> str:
    return wording.number(value, _locale(context))


def _percent(value: object, *, context: RenderContext) -> str:
    return wording.percent(value, _locale(context))


def _date(value: object, style: object = "medium", *, context: RenderContext) -> str:
    return wording.date(value, style, _locale(context), _zone(context))


def _time(value: object, style: object = "short", *, context: RenderContext) -> str:
    return wording.time(value, style, _locale(context), _zone(context))


def _datetime(value: object, style: object = "medium", *, context: RenderContext) -> str:
    return wording.datetime(value, style, _locale(context), _zone(context))


def _list(value: object, style: object = "and", *, context: RenderContext) -> str:
    return wording.joined(value, style, _locale(context))


def _relative(value: object, reference: object = None, *, context: RenderContext) -> str:
    at_ms = context.globals.get("_at_ms") if reference is None else wording.instant_ms(reference)
    if not isinstance(at_ms, int):
        raise ValueError("there is no time to be relative to")
    return wording.relative(value, at_ms, _locale(context))


def _plural(value: object, locale: object = None, *, context: RenderContext) -> str:
    return wording.plural(value, locale if isinstance(locale, str) else _locale(context))


def _locale(context: RenderContext) -> str:
    tag = context.globals.get("_locale")
    return tag if isinstance(tag, str) else _LOCALE


def _zone(context: RenderContext) -> str:
    name = context.globals.get("_zone")
    return name if isinstance(name, str) else _ZONE


class Localized(NamedTuple):
    """A filter with a value that it can always say, on which literal arguments are tried when a template is saved, and
    whether it needs to know where the user is."""

    run: Callable[..., str]
    sample: object
    zoned: bool = False


def _spoken(name: str, run: Callable[..., str]) -> Callable[..., str]:
    @with_context
    @wraps(run)
    def spoken(value: object, *arguments: Any, context: RenderContext) -> str:
        if isinstance(value, Undefined):
            str(value)  # raises, and says which name it is
        try:
            return run(value, *arguments, context=context)
        except ValueError as error:
            raise FilterArgumentError(f"{name}: {error}", token=None) from None

    return spoken


LOCALIZED: Final = {
    name: Localized(_spoken(name, run), sample, zoned)
    for name, run, sample, zoned in (
        ("money", _money, 0, False),
        ("format_number", _number, 0, False),
        ("format_percent", _percent, 0, False),
        ("format_date", _date, 0, True),
        ("format_time", _time, 0, True),
        ("format_datetime", _datetime, 0, True),
        ("format_list", _list, (), False),
        ("relative_time", _relative, 0, False),
        ("plural", _plural, 0, False),
    )
}
"""The filters by the name that templates use."""
