"""The nesting depth of JSON text, measured and cut without decoding it."""

import re
from typing import Final

from clarion.domain.limits import JSON_DEPTH_MAX

# Possessive, and an unfinished string matches to the end of the text: no input makes it read a byte twice.
STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+\\?(?:"|\Z)', re.DOTALL)
"""A string of JSON text."""
_TOKENS: Final = re.compile(STRING.pattern + rb"|[\[{]|[\]}]", re.DOTALL)
_SAME_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def too_deep(text: bytes, limit: int = JSON_DEPTH_MAX) -> bool:
    """Return whether JSON text is nested deeper than `limit`. Text with few brackets is not scanned."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    # Removing the innermost brackets, level by level, takes a tenth of the time of counting bracket by bracket.
    rest = STRING.sub(b"", text).translate(_SAME_BRACKETS, _NO_BRACKETS)
    if b"[" * (limit + 1) in rest:
        return True
    for _ in range(limit):
        outer = rest.replace(b"[]", b"")
        if len(outer) == len(rest):
            break
        rest = outer
    return b"[]" in rest or rest.count(b"[") > limit


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
