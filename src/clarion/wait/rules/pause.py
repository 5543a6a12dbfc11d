"""How long the scheduler may pause."""

from typing import Final

PAUSE_MS_MAX: Final = 2_000
"""The longest pause; then the store is read again in any case: the wall clock may have been set."""


def pause_until(due_ms: int | None, now_ms: int) -> int:
    """Return how long nothing will be due, given the next due time (Unix ms; None: there is none); 0 or less means
    now."""
    return PAUSE_MS_MAX if due_ms is None else min(due_ms - now_ms, PAUSE_MS_MAX)
