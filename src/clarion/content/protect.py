"""Protection of template tags: they are replaced while markup is processed, and restored after it.

A parser of HTML moves text out of a table, and reads `{% if a > b %}` as the end of an element. So in text a tag
becomes a comment, which is allowed anywhere, and elsewhere a word of letters and digits, which no parser changes.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from clarion.content.markup import Measure, Piece, attributes, pieces
from clarion.content.tags import tags
from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import TEMPLATE_TAGS_MAX
from clarion.domain.template import Engine

_SHOWN_CHARS: Final = 60
_SHEETS: Final = ("style", "mj-style")
_STYLE: Final = re.compile(r'\sstyle="([^"]*)"')


class Protected:
    """Markup with its tags replaced: `source` may be processed.

    `elements` is the number of its elements; `varies` is set when classes or whole attributes depend on data, so that
    the style rules of an element cannot be known in advance.
    """

    def __init__(self, source: str, engine: Engine, *, mjml: bool = False) -> None:
        self._salt = "clrn"
        while self._salt in source.lower():  # parsers write names of attributes in lower case
            self._salt += "q"
        self._word = re.compile(rf"{self._salt}(\d+)x")
        self._mark = re.compile(rf'<!--{self._salt}(\d+)x-->|{self._salt}(\d+)x(?:="")?')
        self._hidden = re.compile(rf'\sdata-{self._salt}-style="([^"]*)"')
        self._tags: list[str] = []
        self._blocks: set[int] = set()
        self._optional: set[int] = set()
        self._defining = False
        self._measure = Measure(mjml=mjml)
        self.varies = False
        self.source = "".join(self._inert(piece) for piece in pieces(self._words(source, engine)))

    @property
    def elements(self) -> int:
        """The number of elements."""
        return self._measure.elements

    def word(self, text: str) -> str:
        """Return a word that represents a text until it is restored."""
        self._tags.append(text)
        return f"{self._salt}{len(self._tags) - 1}x"

    def written(self, text: str) -> str:
        """Return a piece of `source` as its author wrote it."""
        return self._mark.sub(lambda match: self._tags[int(match[match.lastindex or 0])], text)

    def restored(self, worked: str) -> str:
        """Return processed markup with the tags restored. Raises `InvalidField` (without a field) for a tag that was
        lost or moved: it was in a place where the markup allows none. Definitions in a style sheet or `mj-attributes`
        may be unused, so these may be lost."""
        if self._hidden.search(worked):
            worked = "".join(
                self._styled(piece.text) if piece.kind == "start" else piece.text for piece in pieces(worked)
            )
        # Braces that the author wrote as entities were decoded by the parser; they are text and remain text.
        worked = worked.replace("{{", "&#123;{").replace("{%", "&#123;%")
        order = [int(number) for number, _ in self._mark.findall(worked) if number]
        seen: set[int] = set()

        def back(match: re.Match[str]) -> str:
            number = int(match[match.lastindex or 0])
            seen.add(number)
            return self._tags[number]

        restored = self._mark.sub(back, worked)
        restored = self._word.sub(back, restored)  # those within attributes that were replaced as a whole
        misplaced = {later for first, later in pairwise(order) if later <= first}
        seen |= self._optional
        for number, tag in enumerate(self._tags):
            if number in misplaced or number not in seen:
                raise InvalidField(f"{tag[:_SHOWN_CHARS]} is not allowed in this place", code="misplaced_tag")
        return restored

    def _words(self, source: str, engine: Engine) -> str:
        out: list[str] = []
        position = 0
        for tag in tags(source, engine):
            if len(self._tags) >= TEMPLATE_TAGS_MAX:
                raise InvalidField(f"has more than {TEMPLATE_TAGS_MAX} template tags", code="too_large")
            if tag.block:
                self._blocks.add(len(self._tags))
            out += (source[position : tag.start], self.word(tag.text))
            position = tag.end
        return "".join((*out, source[position:]))

    def _inert(self, piece: Piece) -> str:
        self._measure.note(piece)
        if piece.name == "mj-attributes":
            self._defining = piece.kind == "start"
        if self._defining or (piece.kind == "other" and piece.name in _SHEETS):
            self._optional.update(map(int, self._word.findall(piece.text)))
        if piece.kind == "text":
            return self._word.sub(r"<!--\g<0>-->", piece.text)
        if piece.kind == "start" and self._salt in piece.text:
            return self._element(piece)
        return piece.text

    def _element(self, piece: Piece) -> str:
        """Return a start tag in which no template tag replaces the name of an attribute or is outside the values of a
        style."""
        found = list(attributes(piece.text))
        ending = "/>" if piece.text.endswith("/>") else ">"
        if not piece.name.startswith("mj-") and any(self._salt in name for name, *_ in found):
            self.varies = True
            opening = found[0][2]
            return f"{piece.text[:opening]}{self.word(piece.text[opening : -len(ending)].rstrip())}{ending}"
        text = piece.text
        for name, value, start, _end in reversed(found):
            if name.lower() in ("class", "id") and self.holds_block(value):
                self.varies = True
            if name.lower() == "style" and not self._is_plain_style(value):
                text = f"{text[:start]}data-{self._salt}-{text[start:]}"
        return text

    def holds_block(self, text: str) -> bool:
        """Return whether a text contains a tag that controls rendering."""
        return any(int(number) in self._blocks for number in self._word.findall(text))

    def _is_plain_style(self, style: str) -> bool:
        if self._salt not in style:
            return True
        return not self.holds_block(style) and all(
            self._salt not in declaration.partition(":")[0] and ":" in declaration
            for declaration in style.split(";")
            if declaration.strip()
        )

    def _styled(self, start: str) -> str:
        """Return a start tag with its protected style after the inlined one."""
        hidden = self._hidden.search(start)
        if hidden is None:
            return start
        rest = start[: hidden.start()] + start[hidden.end() :]
        inlined = _STYLE.search(rest)
        if inlined is None:
            return f'{start[: hidden.start()]} style="{hidden[1]}"{start[hidden.end() :]}'
        both = f' style="{inlined[1].rstrip("; ")};{hidden[1]}"'
        return rest[: inlined.start()] + both + rest[inlined.end() :]


def with_bodies(markup: Iterator[Piece]) -> Iterator[Piece]:
    """Yield pieces with the `<tbody>` that a parser puts into a table before its first row anyway, but after the
    template tags before that row: otherwise a loop around rows would begin outside of it and end inside."""
    held: list[Piece] = []
    for piece in markup:
        if held and piece.kind in ("start", "end"):
            if piece.kind == "start" and piece.name == "tr":
                yield held[0]
                yield Piece("start", "<tbody>", "tbody")
                yield from held[1:]
            else:
                yield from held
            held = []
        if held or (piece.kind == "start" and piece.name == "table"):
            held.append(piece)
        else:
            yield piece
    yield from held
