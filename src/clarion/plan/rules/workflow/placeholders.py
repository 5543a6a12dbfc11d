"""Text with `{expression}` placeholders, in the addresses and header values of fetch steps."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlsplit

from clarion.domain.workflow import PLACEHOLDER
from clarion.plan.rules.workflow.state import NoValue

_SAFE_TYPES: Final = (str, int, float, bool)


def filled_url(text: str, evaluate: Callable[[str], Any]) -> str:
    """Return an address with every value percent-encoded: data cannot change the path, host or query fields. Raises
    `NoValue` for a path with `.` or `..` as a segment, which would lead elsewhere and cannot be encoded."""
    filled = PLACEHOLDER.sub(lambda place: quote(_written(evaluate(place[1]), place[1]), safe=""), text)
    if not {".", ".."}.isdisjoint(urlsplit(filled).path.split("/")):
        raise NoValue("the address leads out of its path")
    return filled


def filled_header(text: str, evaluate: Callable[[str], Any]) -> str:
    """Return a header value. Raises `NoValue` when a value would break the line or leave ASCII."""
    filled = PLACEHOLDER.sub(lambda place: _written(evaluate(place[1]), place[1]), text)
    if not filled.isascii() or not filled.isprintable():
        raise NoValue("a header value must be one line of ASCII")
    return filled


def _written(value: Any, expression: str) -> str:
    if not isinstance(value, _SAFE_TYPES):
        raise NoValue(f"{expression!r} gave no text or number")
    return str(value).lower() if isinstance(value, bool) else str(value)
