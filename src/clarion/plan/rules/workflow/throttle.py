"""Throttles: at most `limit` passes in any period, by the times of earlier passes."""


def admit(times_ms: tuple[int, ...], limit: int, per_ms: int, now_ms: int) -> tuple[int, ...] | None:
    """Return the times to store when one more may pass now (Unix ms), None when it may not."""
    recent = times_within(times_ms, per_ms, now_ms)
    return None if len(recent) >= limit else (*recent, now_ms)


def times_within(times_ms: tuple[int, ...], per_ms: int, now_ms: int) -> tuple[int, ...]:
    """Return the times less than `per_ms` ago. Times in the future, after the clock was set back, count too."""
    return tuple(at_ms for at_ms in times_ms if at_ms > now_ms - per_ms)
