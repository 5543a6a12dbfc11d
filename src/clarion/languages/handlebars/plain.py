"""The fast path: a source of literals and plain `{{ path.to.variable }}` becomes a split and a join.

Values other than a text, a whole number, true, false or null are left to Handlebars.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from clarion.content.plain import VARIABLE, missing, too_large
from clarion.domain.limits_content import RENDER_OUTPUT_BYTES_MAX
from clarion.languages.handlebars.payload import EXACT_MAX, UNWANTED
from clarion.ports.renderer import Render, RenderError

_KEYWORDS: Final = frozenset({"this", "true", "false", "null", "undefined", "else", "as", "length"})
_UNWANTED: Final = re.compile(f"[{UNWANTED}]")
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "`": "&#x60;", "=": "&#x3D;"}
_SIGN: Final = re.compile("[&<>\"'`=]")
_TOO_LARGE: Final = "output limit reached"
_WORDS: Final = {None: "", True: "true", False: "false"}


def escape(text: str) -> str:
    """Return a text escaped for HTML in the same way as Handlebars."""
    return _SIGN.sub(lambda sign: _ENTITIES[sign[0]], text)


def bounded(text: str) -> str:
    """Return a rendered text. Raises `RenderError` when it is too large."""
    if too_large(text):
        raise RenderError(_TOO_LARGE)
    return text


def compile_plain(source: str, slow: Render, *, html: bool) -> Render | None:
    """Return a render function if the source is plain, else None. `slow` renders when the data holds other values."""
    pieces = VARIABLE.split(source)
    literals, paths = pieces[::2], [tuple(path.split(".")) for path in pieces[1::2]]
    if any("{{" in literal or literal.endswith(("{", "\\")) for literal in literals) or "\\{{" in source:
        return None
    if any(literal.startswith("}") for literal in literals[1:]):
        return None
    if any(not _KEYWORDS.isdisjoint(path) for path in paths):
        return None
    lines = [source.count("\n", 0, match.start(1)) + 1 for match in VARIABLE.finditer(source)]
    return _joiner(pieces, list(zip(range(1, len(pieces), 2), paths, lines, strict=True)), slow, html=html)


def _joiner(pieces: list[str], slots: list[tuple[int, tuple[str, ...], int]], slow: Render, *, html: bool) -> Render:
    special = _SIGN.search if html else None
    unwanted = _UNWANTED.search

    def render(context: Mapping[str, Any]) -> Any:
        out = pieces.copy()
        chars = 0
        for index, path, line in slots:
            value: Any = context
            try:
                for segment in path:
                    value = value[segment]
            except (KeyError, TypeError, IndexError):
                raise RenderError(f"{missing(context, path)} is undefined (line {line})") from None
            if type(value) is str:
                chars += len(value)
                if chars > RENDER_OUTPUT_BYTES_MAX:
                    raise RenderError(_TOO_LARGE)
                if unwanted(value):
                    return slow(context)
                if special is not None and special(value):
                    value = escape(value)
            elif value is None or value is True or value is False:
                value = _WORDS[value]
            elif type(value) is int and -EXACT_MAX <= value <= EXACT_MAX:
                value = str(value)
            else:
                return slow(context)
            out[index] = value
        return bounded("".join(out))

    return render
