"""A clock that a test sets, and random values that are the same in every run."""

import asyncio
from datetime import datetime
from random import Random

from clarion.domain.times import shown, stored


class SetClock:
    """Implements `ports.clock.Clock`: the wall clock is constant until it is set; the monotonic one is the loop's,
    which advances only by the waits of the stages. Retries happen after half of their longest pause."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now_ms: int) -> None:
        self._loop = loop
        self._chance = Random(0)
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return the time it was set to, in Unix milliseconds."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Return the milliseconds that the loop has waited so far."""
        return int(self._loop.time() * 1000)

    def entropy(self, size: int) -> bytes:
        """Return bytes that are the same in every run."""
        return self._chance.randbytes(size)

    def jitter(self) -> float:
        """Return one half."""
        return 0.5

    def set(self, now_ms: int) -> None:
        """Advance the wall clock. It never goes back."""
        self._now_ms = max(now_ms, self._now_ms)


def instant_ms(text: str) -> int:
    """Return an RFC 3339 time (`2026-03-02T09:00:00Z`) in Unix milliseconds. Raises `ValueError` when it is not valid
    or has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} says nothing of its offset from UTC: add Z")
    return stored(moment)


def instant(time_ms: int) -> str:
    """Return Unix milliseconds in the API's format: RFC 3339 in UTC, without a zero fraction."""
    text = shown(time_ms).isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds")
    return text.replace("+00:00", "Z")
