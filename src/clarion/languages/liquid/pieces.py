"""Pieces of a text as closures over the context of a render: values, formatted values, choices.

A piece raises `Other`, or the error of a failed lookup, for a value that only python-liquid can render.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from clarion.content.formatters import FormatContext, Formatter
from clarion.domain.limits_content import STRAIGHT_LIST_ITEMS_MAX, STRAIGHT_REMEMBERED_MAX

Context = Mapping[str, Any]
Path = tuple[str, ...]
Assigned = dict[str, str]
Piece = Callable[[Context, Assigned], str]
"""Returns a text from a context and the assigned values."""
Test = Callable[[Context, Assigned], bool]

SHORTHANDS: Final = ("size", "first", "last")
_SCALARS: Final = frozenset((str, int, float))
_CONDITIONS: Final = frozenset((str, int, float, bool))


class Other(Exception):
    """Raised for anything that this fast path does not support: python-liquid renders it."""


class Choice(NamedTuple):
    """A test and the piece to render if it holds; the test of an `else` is None."""

    test: Test | None
    piece: Piece


def joined(parts: Sequence[str | Piece]) -> Piece:
    """Return the piece that renders all of these, in order."""
    if all(isinstance(part, str) for part in parts):
        text = "".join(part for part in parts if isinstance(part, str))
        return lambda _context, _assigned: text
    texts = [part if isinstance(part, str) else "" for part in parts]
    slots = [(index, part) for index, part in enumerate(parts) if not isinstance(part, str)]

    def join(context: Context, assigned: Assigned) -> str:
        out = texts.copy()
        for index, piece in slots:
            out[index] = piece(context, assigned)
        return "".join(out)

    return join


def shown(path: Path) -> Piece:
    """Return the piece that renders a value without formatting."""
    value_at = getter(path)

    def show(context: Context, _assigned: Assigned) -> str:
        value = value_at(context)
        if type(value) is str:
            return value
        if type(value) is int:
            return str(value)
        raise Other

    return show


def formatted(formatter: Formatter, path: Path, arguments: Sequence[str | Path]) -> Piece:
    """Return the piece that renders a formatted value. The results for numbers and texts are cached."""
    run, fewest, most = formatter.run, *formatter.arguments
    if not fewest <= len(arguments) + 1 <= most:
        raise Other
    value_at = getter(path)
    getters = [_constant(one) if isinstance(one, str) else getter(one) for one in arguments]
    remembered: dict[tuple[Any, ...], str] = {}

    def say(context: Context, _assigned: Assigned) -> str:
        value, given = value_at(context), [get(context) for get in getters]
        if type(value) not in _SCALARS or formatter.timed:
            return run(FormatContext.of(context), value, *given)
        # 1, 1.0 and True are the same key, so the type is part of it.
        key = (value, type(value), context["_locale"], context["_zone"], *given)
        words = remembered.get(key)
        if words is None:
            words = run(FormatContext.of(context), value, *given)
            if len(remembered) >= STRAIGHT_REMEMBERED_MAX:
                remembered.clear()
            remembered[key] = words
        return words

    return say


def assigning(name: str, piece: Piece) -> Piece:
    """Return the piece that renders as empty and assigns the text of another piece to a name."""

    def assign(context: Context, assigned: Assigned) -> str:
        assigned[name] = piece(context, assigned)
        return ""

    return assign


def choosing(choices: Sequence[Choice]) -> Piece:
    """Return the piece that renders the choice of the first test that holds."""

    def choose(context: Context, assigned: Assigned) -> str:
        for test, words in choices:
            if test is None or test(context, assigned):
                return words(context, assigned)
        return ""

    return choose


def asking(path: Path, wanted: str | None) -> Test:
    """Return the test whether a value equals this text, or with None whether it is neither false nor missing."""
    if not _SPECIAL.isdisjoint(path):
        raise Other
    if wanted is None:
        return lambda context, _assigned: _is_true(_asked(context, path))
    return lambda context, _assigned: _asked(context, path) == wanted


def getter(path: Path) -> Callable[[Context], Any]:
    """Return the function that gets the value at a path: a text, a number or a short list."""
    if not _SPECIAL.isdisjoint(path) or len(path) > 2:
        return lambda context: _value(context, path)
    first, *rest = path
    if not rest:
        return lambda context: _checked(context[first])
    (second,) = rest
    return lambda context: _checked(context[first][second])


_SPECIAL: Final = frozenset(SHORTHANDS)


def _is_true(value: Any) -> bool:
    return value is not None and value is not False


def _constant(text: str) -> Callable[[Context], Any]:
    return lambda _context: text


def _checked(value: Any) -> Any:
    if type(value) in _SCALARS or (type(value) is list and len(value) <= STRAIGHT_LIST_ITEMS_MAX):
        return value
    raise Other


def _value(context: Context, path: Path) -> Any:
    value: Any = context
    for name in path:
        if type(value) is list and name in _SPECIAL:
            value = len(value) if name == "size" else _checked(value)[0 if name == "first" else -1]
        else:
            value = value[name]
    return _checked(value)


def _asked(context: Context, path: Path) -> Any:
    """Return the value that a condition tests at a path: None when it is missing."""
    value: Any = context
    for name in path:
        if type(value) is not dict:
            raise Other
        value = value.get(name)
        if value is None:
            return None
    if type(value) not in _CONDITIONS:
        raise Other
    return value
