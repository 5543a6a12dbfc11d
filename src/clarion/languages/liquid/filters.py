"""Filters with bounded results: every result is measured, and filters that multiply their input check it first."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from functools import wraps
from typing import Any, Final

from liquid import Environment
from liquid.builtin.filters import math
from liquid.exceptions import FilterArgumentError, FilterValueError
from liquid.filter import liquid_filter, sequence_filter, string_filter, with_environment
from liquid.undefined import is_undefined
from markupsafe import Markup, escape

from clarion.domain.limits_content import RENDER_ITEMS_MAX, RENDER_OUTPUT_BYTES_MAX

_INTEGER_BITS_MAX: Final = 4_096
_DATE_CHARS_MAX: Final = 64
_DATE_FORMAT_CHARS_MAX: Final = 200
_DATE_WIDTH: Final = re.compile(r"%[-_0^#+]*\d")  # the C library pads %1000000000d to a gigabyte
_SCALAR_BYTES: Final = 8
_SEPARATOR_CHARS_MAX: Final = 200
_WHOLE_MARKUP: Final = re.compile(r"""(?:[^<>&"']|&#?\w+;|</?[A-Za-z][^<>]*>)*""")
"""Separators that keep the parts they separate as text; half a tag would turn them into names and attributes."""
_NOTHING: Final = object()
_GLANCING: Final = frozenset(("default", "first", "last", "size"))  # they do not traverse a list
_KEYED: Final = frozenset(
    ("compact", "find", "find_index", "has", "map", "reject", "sort", "sort_natural", "sum", "uniq", "where")
)
"""Filters whose first argument is the name of a property, which they would write again for each item."""
REMOVED: Final = ("safe", "strip_html")
"""Removed filters: data is never markup, and parsing HTML takes quadratic time on hostile input."""
REWRITING: Final = (
    "remove", "remove_first", "remove_last", "replace", "replace_first", "replace_last", "slice", "split", "truncate",
    "truncatewords", "url_decode",
)  # fmt: skip
"""Filters that split, join or rearrange text."""


def measure(value: object, limit: int) -> int:
    """Return the approximate size of a value in bytes, counting shared parts each time; stops once it exceeds
    `limit`."""
    total, rest = 0, [value]
    while rest and total <= limit:
        item = rest.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, list | tuple):
            total += _SCALAR_BYTES * len(item)
            rest.extend(item)
        elif isinstance(item, dict):
            total += _SCALAR_BYTES * len(item)
            rest.extend(item.values())
        elif isinstance(item, int):
            total += item.bit_length() // 8 + 1
        else:
            total += _SCALAR_BYTES
    return total


def checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with its result measured and its lists limited to the length that a loop may have."""
    counts, keyed = name not in _GLANCING, name in _KEYED

    @wraps(function)
    def run(value: Any, *args: Any, **options: Any) -> Any:
        if keyed and any(isinstance(key, list | dict) for key in (*args[:1], *options.values())):
            raise FilterArgumentError(f"{name}: a property has a name", token=None)
        if counts and isinstance(value, list | tuple) and len(value) > RENDER_ITEMS_MAX:
            raise FilterValueError(f"{name}: more than {RENDER_ITEMS_MAX} items", token=None)
        result = function(value, *args, **options)
        size = len(result) if isinstance(result, str) else measure(result, RENDER_OUTPUT_BYTES_MAX)
        _refuse_over(size, name)
        return result

    return run


def of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter for HTML parts, where its input and arguments are text, never markup: its result is escaped
    again, so that escaped text cannot be rearranged into markup."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        return function(*(str(it) if isinstance(it, Markup) else it for it in args), **options)

    return run


def _refuse_over(size: int, name: str) -> None:
    if size > RENDER_OUTPUT_BYTES_MAX:
        raise FilterValueError(f"{name}: the result is too large", token=None)


@string_filter
def _replace(value: str, old: object, new: object = "") -> str:
    old, new = _text(old), _text(new)
    hits = value.count(old) if old else len(value) + 1
    _refuse_over(len(value) + hits * len(new), "replace")
    return value.replace(old, new)


@with_environment
@sequence_filter
def _join(items: list[Any], separator: object = " ", *, environment: Environment) -> str:
    gap, texts = _text(separator), [_text(item) for item in items]
    _refuse_over(sum(map(len, texts)) + len(gap) * len(texts), "join")
    if environment.autoescape and not _is_whole_markup(gap):
        gap = escape(str(gap))
    return gap.join(texts)


def _is_whole_markup(gap: str) -> bool:
    short = isinstance(gap, Markup) and len(gap) <= _SEPARATOR_CHARS_MAX
    return short and _WHOLE_MARKUP.fullmatch(gap) is not None


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


@wraps(math.times)
def _times(left: Any, right: Any) -> Any:
    bits = sum(value.bit_length() for value in (left, right) if isinstance(value, int))
    if bits > _INTEGER_BITS_MAX:
        raise FilterValueError("times: the result is too large", token=None)
    return math.times(left, right)


@sequence_filter
def _uniq(items: Iterable[Any], key: object = None) -> list[object]:
    """Return the distinct items, in linear time."""
    seen: dict[object, object] = {}
    for item in items:
        seen.setdefault(_hashable(item if key is None else _property(item, key)), item)
    return list(seen.values())


def _property(item: Any, key: object) -> object:
    try:
        return item[key]
    except KeyError:
        return _NOTHING
    except TypeError:
        raise FilterArgumentError(f"can't read property '{key}'", token=None) from None


def _hashable(value: object) -> object:
    """Return something hashable that is equal for equal values."""
    if isinstance(value, dict):
        return dict, frozenset((key, _hashable(item)) for key, item in value.items())
    return (list, *map(_hashable, value)) if isinstance(value, list | tuple) else value


@liquid_filter
def _date(value: object, pattern: object) -> str:
    """Format an ISO 8601 text or Unix seconds (as UTC); other values are returned unchanged. There is no `now`: a retry
    has to return the same text."""
    if is_undefined(value):
        return ""
    if not isinstance(pattern, str) or len(pattern) > _DATE_FORMAT_CHARS_MAX or _DATE_WIDTH.search(pattern):
        raise FilterArgumentError("date: the format is too long or pads to a width", token=None)
    if value in ("now", "today"):
        raise FilterArgumentError("date: templates cannot read the clock; pass the time as data", token=None)
    moment = _moment(value)
    return str(value) if moment is None else moment.strftime(pattern)


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    if isinstance(value, str) and len(value) > _DATE_CHARS_MAX:
        return None
    if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
        return _of_unix_seconds(int(value))
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return None
    return None


def _of_unix_seconds(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise FilterArgumentError("date: no such time", token=None) from None


CHECKED: Final[dict[str, Callable[..., Any]]] = {
    "replace": _replace,
    "join": _join,
    "times": _times,
    "uniq": _uniq,
    "date": _date,
}
"""Replacements of standard filters that could not be bounded from outside."""
