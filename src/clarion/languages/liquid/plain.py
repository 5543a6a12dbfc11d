"""The fast path: a source of literals and plain `{{ path.to.variable }}` becomes a split and a join.

Anything that Liquid treats specially (filters, tags, white-space control, `size`, `first`, `last`, literals such as
`true`) is left to Liquid.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from liquid.stringify import to_liquid_string
from markupsafe import escape

from clarion.content.plain import VARIABLE, missing, too_large
from clarion.languages.liquid.scanning import place
from clarion.ports.renderer import Render, RenderError

_LITERALS: Final = {"true", "false", "nil", "null", "empty", "blank"}
_OPERATORS: Final = {"and", "or", "not", "contains", "in", "if", "else", "with", "for", "as"}
_LOOP_WORDS: Final = {"offset", "limit", "reversed", "cols", "continue", "required"}
_SHORTHANDS: Final = {"size", "first", "last"}
RESERVED: Final = frozenset(_LITERALS | _OPERATORS | _LOOP_WORDS)
"""Words that Liquid may interpret as something other than a name."""
_KEYWORDS: Final = RESERVED | _SHORTHANDS


def compile_plain(source: str, *, html: bool) -> Render | None:
    """Return a render function if the source is plain, else None."""
    pieces = VARIABLE.split(source)
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
                raise RenderError(f"{missing(context, path)} is undefined (line {_line(source, index)})") from None
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
    """Return the line of a variable, by its index among the pieces of a source."""
    variable = next(islice(VARIABLE.finditer(source), index // 2, None))
    return place(source, variable.start(1))[0]


def _checked(text: str) -> str:
    if too_large(text):
        raise RenderError("output stream limit reached")
    return text
