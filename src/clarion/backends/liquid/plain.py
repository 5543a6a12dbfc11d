"""The fast path: a source of literals and plain `{{ path.to.variable }}` becomes a split and a join.

Anything that Liquid treats specially (filters, tags, white-space control, `size`, `first`, `last`, literals such as
`true`) is left to Liquid.
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from liquid.stringify import to_liquid_string
from markupsafe import escape

from clarion.backends.liquid.scanning import place
from clarion.domain.limits import RENDER_OUTPUT_BYTES_MAX
from clarion.ports.renderer import Render, RenderError

_WORD: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE: Final = re.compile(rf"\{{\{{[ \t\r\n]*({_WORD}(?:\.{_WORD})*)[ \t\r\n]*\}}\}}")
_LITERALS: Final = {"true", "false", "nil", "null", "empty", "blank"}
_OPERATORS: Final = {"and", "or", "not", "contains", "in", "if", "else", "with", "for", "as"}
_LOOP_WORDS: Final = {"offset", "limit", "reversed", "cols", "continue", "required"}
_SHORTHANDS: Final = {"size", "first", "last"}
_KEYWORDS: Final = frozenset(_LITERALS | _OPERATORS | _LOOP_WORDS | _SHORTHANDS)
_UTF8_BYTES_PER_CHAR: Final = 4


def compile_plain(source: str, *, html: bool) -> Render | None:
    """Return a render function if the source is plain, else None."""
    pieces = _VARIABLE.split(source)
    literals, paths = pieces[::2], [tuple(path.split(".")) for path in pieces[1::2]]
    if "{{{" in source or any("{{" in literal or "{%" in literal for literal in literals):
        return None
    if any(not _KEYWORDS.isdisjoint(path) for path in paths):
        return None
    if not paths:
        return lambda _context: _checked(source)
    return _joiner(source, pieces, list(zip(range(1, len(pieces), 2), paths, strict=True)), html=html)


def _joiner(source: str, pieces: list[str], slots: list[tuple[int, tuple[str, ...]]], *, html: bool) -> Render:
    def render(context: Mapping[str, Any]) -> str:
        out = pieces.copy()
        for index, path in slots:
            value: Any = context
            try:
                for segment in path:
                    value = value[segment]
            except (KeyError, TypeError, IndexError):
                raise RenderError(f"{_missing(context, path)} is undefined (line {_line(source, index)})") from None
            if type(value) is not str:
                try:
                    value = to_liquid_string(value, html)
                except ValueError as error:  # an integer of thousands of digits
                    raise RenderError(f"{'.'.join(path)}: {error} (line {_line(source, index)})") from None
            elif html:
                value = escape(value)
            out[index] = value
        return _checked("".join(out))

    return render


def _line(source: str, index: int) -> int:
    """Return the line of the variable that is this piece of a source."""
    variable = next(islice(_VARIABLE.finditer(source), index // 2, None))
    return place(source, variable.start(1))[0]


def _missing(context: Mapping[str, Any], path: tuple[str, ...]) -> str:
    """Return the shortest prefix of a path that is undefined, as Liquid names it."""
    value: Any = context
    for depth, segment in enumerate(path, start=1):
        try:
            value = value[segment]
        except (KeyError, TypeError, IndexError):
            return ".".join(path[:depth]) if depth > 1 else repr(segment)
    return ".".join(path)


def _checked(text: str) -> str:
    over = len(text) * _UTF8_BYTES_PER_CHAR > RENDER_OUTPUT_BYTES_MAX
    if over and len(text.encode()) > RENDER_OUTPUT_BYTES_MAX:
        raise RenderError("output stream limit reached")
    return text
