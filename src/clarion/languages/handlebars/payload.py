"""Encodes a render's context for JavaScript: only the names that are read, and no value that JavaScript would
change."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clarion.languages.handlebars.sandbox import TemplateProblem

UNWANTED: Final = "\0\ufdd0-\ufdd3"
"""Characters that no text may hold, as a class of a pattern: NUL, which would end the text, and the marks of
`parsing.js`."""
EXACT_MAX: Final = 2**53 - 1
"""The largest integer that JavaScript represents exactly."""
_LONG_NUMBER: Final = re.compile(rb"[\[:,]-?\d{16}")
_MARK: Final = re.compile("[\ufdd0-\ufdd3]")
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_ENCODER: Final = msgspec.json.Encoder()


def encode(context: Mapping[str, Any], roots: frozenset[str] | None) -> str:
    """Return the named part of a context (all of it for None) as JSON. Raises `TemplateProblem` for a value that JSON cannot
    hold."""
    read = dict(context) if roots is None else {name: context[name] for name in roots if name in context}
    try:
        encoded = _encoded(read)
        text = encoded.decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TemplateProblem(f"the data is not JSON: {error}"[:200]) from None
    if not text.isascii():
        text = _MARK.sub("\ufffd", text)
    return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def _encoded(read: dict[str, Any]) -> bytes:
    try:
        encoded = _ENCODER.encode(read)
    except OverflowError:  # an integer of more than 64 bits
        return _ENCODER.encode(_exact(read))
    return _ENCODER.encode(_exact(read)) if _LONG_NUMBER.search(encoded) else encoded


def _exact(value: Any) -> Any:
    """Return a value in which integers that JavaScript would round are replaced by texts."""
    if isinstance(value, Mapping):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT_MAX:
        return str(value)
    return value
