"""The content of an HTML e-mail as readers and spam filters see it. Scanned in one pass and not parsed, however hostile
it is."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Final

CHECKED_CHARS: Final = 256 * 1024
"""Inboxes cut off long before this size."""
_UNSEEN: Final = (
    (re.compile("<!--"), re.compile("-->")),
    *(
        (re.compile(rf"<{name}\b", re.I), re.compile(rf"</{name}\b[^<>]*>", re.I))
        for name in ("head", "style", "script")
    ),
)
_TAG: Final = re.compile(r"<[^<>]*>")
_IMAGE: Final = re.compile(r"<img\b([^<>]*)>", re.I)
_LINK: Final = re.compile(r"<a\b([^<>]*)>([^<]{0,200})", re.I)
_ALT: Final = re.compile(r"\balt\s*=", re.I)
_PREHEADER: Final = re.compile(r"<div style=\"display:\s*none[^\"<>]*\">([^<]*)", re.I)
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u034f\u200b\u200c\u200d\u00ad\ufeff\u00a0"), " ")


class EmailText:
    """`text` is the visible text, `links` the links' addresses and texts, `images` their tags; `preheader` is the
    hidden text that an inbox shows next to the subject."""

    def __init__(self, html: str) -> None:
        seen = html[:CHECKED_CHARS]
        for opening, closing in _UNSEEN:
            seen = "".join(_outside(seen, opening, closing))
        self.images = [match[0] for match in _IMAGE.finditer(seen)]
        self.images_without_alt = [image for image in self.images if not _ALT.search(image)]
        self.links = [f"{match[1]} {match[2]}" for match in _LINK.finditer(seen)]
        hidden = _PREHEADER.search(seen)
        self.preheader = None if hidden is None else _plain(hidden[1])
        self.text = _plain(_TAG.sub(" ", seen))


def _plain(text: str) -> str:
    return " ".join(unescape(text).translate(_INVISIBLE).split())


def _outside(html: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> Iterator[str]:
    """Yield the text outside of two marks; an unclosed opening mark hides everything that follows."""
    position = 0
    while start := opening.search(html, position):
        yield html[position : start.start()]
        end = closing.search(html, start.end())
        if end is None:
            return
        position = end.end()
    yield html[position:]
