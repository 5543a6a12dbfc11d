"""The size of a text as SMS: its alphabet and number of segments (3GPP TS 23.038, 23.040)."""

from typing import Final, Literal

import msgspec

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
_ALPHABET: Final = _BASIC | _EXTENDED
_QUOTES: Final = dict.fromkeys("‘’‚‛‹›´`", "'") | dict.fromkeys("“”„‟«»", '"')  # noqa: RUF001
_DASHES: Final = dict.fromkeys("–—‐‑−•", "-") | {"…": "...", "·": ".", "×": "x"}  # noqa: RUF001
_SPACES: Final = dict.fromkeys("\u00a0\u2007\u2009\u202f\t", " ") | dict.fromkeys("\u200b\ufeff\u00ad", "")
_PLAIN: Final = str.maketrans(_QUOTES | _DASHES | _SPACES)
"""Typographic characters and their equivalents in the GSM alphabet."""
_SEGMENT: Final = {"gsm-7": (160, 153), "ucs-2": (70, 67)}
"""Characters of a message of one segment, and of each segment of several: those carry a header."""


class Size(msgspec.Struct, frozen=True):
    """`characters` counts as the alphabet does: an extended GSM character and one beyond the BMP take two."""

    encoding: Literal["gsm-7", "ucs-2"]
    characters: int
    segments: int


def measure(text: str) -> Size:
    """Return alphabet, length and segments of a text. No pair is split between two segments, so one more may be
    needed."""
    gsm = _ALPHABET.issuperset(text)
    encoding: Literal["gsm-7", "ucs-2"] = "gsm-7" if gsm else "ucs-2"
    costs = [2 if char in _EXTENDED else 1 for char in text] if gsm else [2 if ord(c) > 0xFFFF else 1 for c in text]
    total, (single, each) = sum(costs), _SEGMENT[encoding]
    if total <= single:
        return Size(encoding, total, 1)
    segments, room = 1, each
    for cost in costs:
        if cost > room:
            segments, room = segments + 1, each
        room -= cost
    return Size(encoding, total, segments)


def smart(text: str) -> str:
    """Return the text with typographic characters replaced by the GSM alphabet if all of it then fits the alphabet,
    which halves its cost; otherwise the text unchanged."""
    plain = text.translate(_PLAIN)
    return plain if _ALPHABET.issuperset(plain) else text
