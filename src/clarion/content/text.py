"""Plain text from HTML, for e-mails without a text part. Template tags are preserved, so the result is a template
again."""

import re
from html.parser import HTMLParser
from typing import Final

from clarion.content.markup import VOID, pieces
from clarion.content.tags import tags
from clarion.domain.template import Engine

_SKIPPED: Final = frozenset(("head", "script", "style", "template", "title", "noscript", "svg", "select", "object"))
_PARAGRAPHS: Final = frozenset(
    ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "pre", "table", "figure", "hr", "form")
)
_LINES: Final = frozenset(
    (
        "div",
        "li",
        "tr",
        "dt",
        "dd",
        "section",
        "article",
        "header",
        "footer",
        "main",
        "nav",
        "address",
        "caption",
        "center",
    )
)
_HIDDEN: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE)
_INLINE: Final = frozenset(("a", "b", "strong", "em", "i", "span", "small", "big", "u", "font", "code", "label"))
_BLOCK: Final = re.compile(r"display\s*:\s*(?:block|table|flex)", re.IGNORECASE)
_PRESENTATION: Final = frozenset(("presentation", "none"))
_BLANKS: Final = re.compile(r"[ \t\r\n\f]+")
_TRAILING_BLANKS: Final = re.compile(r" +\n")
_INVISIBLE: Final = re.compile("[\u034f\u00ad\u200b\u200c\u2007\ufeff]+")
_MANY_LINES: Final = re.compile(r"\n{3,}")


def text_of(html: str, engine: Engine) -> str:
    """Return the text of HTML with tags: links as `label (url)`, lists with their marks, cells of layout tables on lines of
    their own, those of other tables on one line. Hidden elements, including those hidden from screen readers, are left
    out."""
    salt = "clrn"
    while salt in html:
        salt += "q"
    words: list[str] = []
    found: list[str] = []
    position = 0
    for tag in tags(html, engine):
        words += (html[position : tag.start], f"{salt}{'b' if tag.block else 'o'}{len(found)}x")
        found.append(tag.text)
        position = tag.end
    reader = _Reader(salt)
    for piece in pieces("".join((*words, html[position:]))):
        if piece.kind != "other" or piece.name:
            reader.feed(piece.text)
        else:  # a comment; the parser cannot read some of Outlook's
            reader.unseen(piece.text)
    reader.close()
    # A line of control tags only is not a line of the rendered text.
    text = re.sub(rf"(?m)^((?:{salt}b\d+x *)+)\n+", r"\1", reader.text())
    return re.sub(rf"{salt}[bo](\d+)x", lambda match: found[int(match[1])], text)


class _Reader(HTMLParser):
    """Collects the text. `_gap` is the number of line ends before the next word."""

    def __init__(self, salt: str) -> None:
        super().__init__(convert_charrefs=True)
        self._steering = re.compile(rf"{salt}b\d+x")
        self._out: list[str] = []
        self._gap = 0
        self._space = False
        self._skipping: list[str] = []
        self._lists: list[int | None] = []
        self._tables: list[bool] = []
        self._links: list[tuple[str, int]] = []
        self._inline: list[tuple[str, bool]] = []
        self._verbatim = 0
        self._cells = 0

    def text(self) -> str:
        """Return the collected text."""
        return _MANY_LINES.sub("\n\n", _TRAILING_BLANKS.sub("\n", "".join(self._out))).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        answer = {name: value or "" for name, value in attrs}
        hidden = "hidden" in answer or answer.get("aria-hidden") == "true" or _HIDDEN.search(answer.get("style", ""))
        if self._skipping or tag in _SKIPPED or hidden:
            if tag not in VOID:
                self._skipping.append(tag)
            return
        if tag == "table":
            self._tables.append(answer.get("role", "") in _PRESENTATION)
        self._break(tag)
        if tag in _INLINE:
            block = _BLOCK.search(answer.get("style", "")) is not None
            self._inline.append((tag, block))
            self._gap = max(self._gap, int(block))
        if tag == "a":
            self._links.append((answer.get("href", ""), len(self._out)))
        elif tag == "img":
            self._word(answer.get("alt", ""))
        elif tag == "br":
            self._out.append("\n")
            self._space = False
        elif tag == "hr":
            self._word("---")
            self._gap = 2
        elif tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._bullet()
        elif tag == "tr":
            self._cells = 0
        elif tag in ("td", "th"):
            self._cell()
        elif tag == "pre":
            self._verbatim += 1

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            if tag in self._skipping:
                del self._skipping[len(self._skipping) - 1 - self._skipping[::-1].index(tag) :]
            return
        if tag in _INLINE:
            self._end_inline(tag)
        if tag == "a" and self._links:
            self._link(*self._links.pop())
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre" and self._verbatim:
            self._verbatim -= 1
        self._break(tag)
        if tag == "table" and self._tables:
            self._tables.pop()

    def unseen(self, text: str) -> None:
        """Read hidden text: its template tags still control what follows."""
        for word in self._steering.findall(text):
            self._word(word)

    def handle_data(self, data: str) -> None:
        if self._skipping:
            self.unseen(data)
            return
        # Braces written as entities are text: they must not become a tag.
        data = _INVISIBLE.sub("", data).replace("\xa0", " ").replace("{{", "{ {").replace("{%", "{ %")
        if self._verbatim:
            self._flush()
            self._out.append(data)
            return
        words = _BLANKS.sub(" ", data)
        if words.startswith(" "):
            self._space = True
        self._word(words.strip(" "))
        if words.endswith(" ") and words.strip(" "):
            self._space = True

    def _word(self, text: str) -> None:
        if text:
            self._flush()
            self._out.append(text)

    def _flush(self) -> None:
        if self._gap and self._out:
            self._out.append("\n" * self._gap)
        elif self._space and self._out and not self._out[-1].endswith(("\n", " ")):
            self._out.append(" ")
        self._gap, self._space = 0, False

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS or (tag == "tr" and self._is_layout()):
            nested = tag in ("ul", "ol") and len(self._lists) > 0
            self._gap = max(self._gap, 1 if nested else 2)
        elif tag in _LINES:
            self._gap = max(self._gap, 1)

    def _end_inline(self, tag: str) -> None:
        index = next((i for i in range(len(self._inline) - 1, -1, -1) if self._inline[i][0] == tag), None)
        if index is not None:
            self._gap = max(self._gap, int(self._inline.pop(index)[1]))

    def _bullet(self) -> None:
        indent = "  " * (len(self._lists) - 1)
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        self._flush()
        self._out.append(indent + ("-" if number is None else f"{number}."))
        self._space = True

    def _is_layout(self) -> bool:
        """Return whether rows and cells here are for layout only; the content may be in a table of the layout."""
        return not self._tables or self._tables[-1]

    def _cell(self) -> None:
        if self._is_layout():
            self._gap = max(self._gap, 1)
        elif self._cells and not self._gap:
            self._out.append("  ")
            self._space = False
        self._cells += 1

    def _link(self, url: str, since: int) -> None:
        label = "".join(self._out[since:]).strip()
        shown = url.removeprefix("mailto:").removeprefix("tel:")
        if not shown or shown.startswith("#") or shown == label:
            return
        self._space = bool(label)
        self._word(f"({shown})" if label else shown)
