"""A lenient tokenizer of HTML and MJML, and bounds on their size and depth."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import MARKUP_DEPTH_MAX, MARKUP_ELEMENTS_MAX

VOID: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
RAW: Final = frozenset(
    ("style", "script", "title", "textarea", "mj-style", "mj-title", "mj-preview", "mj-accordion-title")
)
"""Elements that contain only text."""
_SELF_ENDING: Final = frozenset(("p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option"))
"""Elements of HTML that end where the next one starts, and cannot be nested directly in one another."""
_FOREIGN: Final = frozenset(("svg", "math"))
"""Elements in which every element has to be closed."""
_FORMATTING: Final = frozenset(
    ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
)
"""Elements that a parser reopens in the following elements until they are closed."""
_SPACE: Final = r" \t\n\f\r"
# The grammar of the HTML standard, possessive throughout: a browser's parser and this one agree on each tag.
ATTRIBUTE: Final = re.compile(
    rf"""([^{_SPACE}/>][^{_SPACE}/>=]*+)(?:[{_SPACE}]*+=[{_SPACE}]*+("[^"]*+"|'[^']*+'|[^{_SPACE}>"'][^{_SPACE}>]*+)?)?+"""
)
_NAME: Final = re.compile(rf"</?([a-zA-Z][^{_SPACE}/>]*+)")
_ELEMENT: Final = re.compile(rf"{_NAME.pattern}(?:[{_SPACE}/]++|{ATTRIBUTE.pattern})*+>")
_COMMENT: Final = re.compile(r"<!--(?:-?>|.*?(?:--!?>|\Z))", re.DOTALL)


class Piece(NamedTuple):
    """A piece of markup: `text`, the `start` or `end` of an element, or `other` markup that is left unchanged (a
    comment, a doctype, the text of a style). `name` is the element's, in lower case."""

    kind: str
    text: str
    name: str = ""


def pieces(source: str) -> Iterator[Piece]:
    """Yield the pieces of a source. Raises `InvalidField` (without a field) for an element that is never closed."""
    position, length = 0, len(source)
    while position < length:
        start = source.find("<", position)
        if start == -1:
            yield Piece("text", source[position:])
            return
        piece = _piece(source, start)
        if start > position or piece is None:
            start += piece is None
            yield Piece("text", source[position:start])
            position = start
        if piece is not None:
            yield piece
            position += len(piece.text)
            if piece.kind == "start" and piece.name in RAW and not piece.text.endswith("/>"):
                closing = re.compile(rf"</{re.escape(piece.name)}[\s/>]", re.IGNORECASE).search(source, position)
                end = closing.start() if closing else length
                yield Piece("other", source[position:end], piece.name)
                position = end


def attributes(start: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield the attributes of a start tag as (name, value without quotes, where it starts, where it ends)."""
    opening = _NAME.match(start)
    for match in ATTRIBUTE.finditer(start, opening.end() if opening else 0):
        value = match[2] or ""
        quoted = value[:1] in ("'", '"')
        yield match[1], value[1:-1] if quoted else value, match.start(), match.end()


class Measure:
    """Counts elements and the greatest depth at which a parser could nest them. Raises `InvalidField` (without a field)
    over the bounds: parsers recurse, and a full stack ends the process."""

    def __init__(self, *, mjml: bool) -> None:
        self.elements = 0
        self._mjml = mjml
        self._open: list[str] = []

    def note(self, piece: Piece) -> None:
        """Count a piece."""
        if piece.kind == "start":
            self.elements += 1 + sum(name in _FORMATTING for name in self._open)
            if self.elements > MARKUP_ELEMENTS_MAX:
                raise InvalidField(f"has more than {MARKUP_ELEMENTS_MAX} elements", code="too_large")
            if not self._ends_at_once(piece):
                self._open.append(piece.name)
        elif piece.kind == "end" and piece.name in self._open:
            # Only that one: elements opened within it may stay open.
            del self._open[len(self._open) - 1 - self._open[::-1].index(piece.name)]
        if (
            max(len(self._open), piece.text.count("<") if piece.kind == "other" and piece.name else 0)
            > MARKUP_DEPTH_MAX
        ):
            raise InvalidField(f"nests elements more than {MARKUP_DEPTH_MAX} deep", code="too_deep")

    def _ends_at_once(self, piece: Piece) -> bool:
        if self._mjml:  # XML: every element has to be closed, and names are case-sensitive
            return piece.text.endswith("/>") or (piece.name in VOID and piece.text.startswith(f"<{piece.name}"))
        if not _FOREIGN.isdisjoint(self._open):
            return piece.text.endswith("/>")
        return piece.name in VOID or piece.name in _SELF_ENDING


def _piece(source: str, start: int) -> Piece | None:
    """Return the piece that starts with the `<` at `start`; None when it is only text."""
    if source.startswith("<!--", start):
        comment = _COMMENT.match(source, start)
        return Piece("other", comment[0] if comment else "")
    following = source[start + 1 : start + 2]
    if following in ("!", "?"):
        end = source.find(">", start)
        return Piece("other", source[start : end + 1 if end != -1 else len(source)])
    if not (following.isalpha() or (following == "/" and source[start + 2 : start + 3].isalpha())):
        return None
    match = _ELEMENT.match(source, start)
    if match is None:
        line = source.count("\n", 0, start) + 1
        raise InvalidField(f"line {line}: the element that starts with {source[start : start + 20]!r} is never closed")
    return Piece("end" if following == "/" else "start", match[0], match[1].lower())
