"""Throttles: at most so many in any span of time, by the times of those who passed."""


def admitted(times_ms: tuple[int, ...], limit: int, per_ms: int, now_ms: int) -> tuple[int, ...] | None:
    """Return the times to keep when one more may pass now (Unix ms), None when it may not."""
    recent = still_counting(times_ms, per_ms, now_ms)
    return None if len(recent) >= limit else (*recent, now_ms)


def still_counting(times_ms: tuple[int, ...], per_ms: int, now_ms: int) -> tuple[int, ...]:
    """Return the times that lie less than `per_ms` back. A clock that was set back makes none of them count less."""
    return tuple(at_ms for at_ms in times_ms if at_ms > now_ms - per_ms)
