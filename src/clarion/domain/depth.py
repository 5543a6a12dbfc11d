"""How deeply JSON text is nested, and less deeply nested text, without decoding it."""

import re
from typing import Final

from clarion.domain.limits import JSON_DEPTH_MAX

# Possessive, and taking an unfinished string to the end of the text: no input makes it look at a byte twice.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+\\?(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def too_deep(text: bytes, limit: int = JSON_DEPTH_MAX) -> bool:
    """Return whether JSON text is nested deeper than `limit`. Text with few brackets is not looked at twice."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth = 0
    for match in _TOKENS.finditer(text):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif token in b"]}":
            depth -= 1
    return False


def pruned(text: bytes, limit: int) -> bytes:
    """Return JSON text in which every list and object nested deeper than `limit` is a 0; the rest stays as it is."""
    kept: list[bytes] = []
    depth = start = end = 0
    for match in _TOKENS.finditer(text):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth == limit + 1:
                start = match.start()
        elif token in b"]}":
            depth -= 1
            if depth == limit:
                kept += text[end:start], b"0"
                end = match.end()
    return b"".join([*kept, text[end:]])
