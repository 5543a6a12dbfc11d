"""Helpers of the fast paths of all template languages: plain variables, the size limit of rendered text, undefined
paths."""

import re
from collections.abc import Mapping
from typing import Any, Final

from clarion.domain.limits_content import RENDER_OUTPUT_BYTES_MAX

WORD: Final = r"[A-Za-z_][A-Za-z0-9_]*"
VARIABLE: Final = re.compile(rf"\{{\{{[ \t\r\n]*({WORD}(?:\.{WORD})*)[ \t\r\n]*\}}\}}")
"""An output of a path of names and nothing else, `{{ a.b }}`."""
_UTF8_BYTES_PER_CHAR: Final = 4


def too_large(text: str) -> bool:
    """Return whether a rendered text is over the limit of bytes; a short one is not encoded for that."""
    if len(text) * _UTF8_BYTES_PER_CHAR <= RENDER_OUTPUT_BYTES_MAX:
        return False
    return len(text.encode(errors="surrogatepass")) > RENDER_OUTPUT_BYTES_MAX


def missing(context: Mapping[str, Any], path: tuple[str, ...]) -> str:
    """Return the shortest undefined prefix of a path, for error texts."""
    value: Any = context
    for depth, segment in enumerate(path, start=1):
        try:
            value = value[segment]
        except (KeyError, TypeError, IndexError):
            return ".".join(path[:depth]) if depth > 1 else repr(segment)
    return ".".join(path)
