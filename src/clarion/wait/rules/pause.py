"""How long there is nothing to fire."""

from typing import Final

PAUSE_MS_MAX: Final = 2_000
"""After so long it is looked again, whatever was known: the wall clock may have been set."""


def pause_until(due_ms: int | None, now_ms: int) -> int:
    """Return how long nothing will be due, as far as is known (Unix ms; None is nothing at all); not above 0 is now."""
    return PAUSE_MS_MAX if due_ms is None else min(due_ms - now_ms, PAUSE_MS_MAX)
