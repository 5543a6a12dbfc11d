"""How calls and failures are counted over sliding windows, and how fast an account is used when all is well.

A window is counted in slots. Those of the shorter window are narrow; what has left it is put together into the wider
slots of the longer one, so that an account has some forty slots, whatever it is used for.
"""

from typing import TypeAlias

from clarion.domain.limits_breakers import (
    DEGRADED_SLOTS,
    MEASURE_MEMORY_MS,
    MEASURE_MS_MIN,
    WINDOW_SLOT_MS_MIN,
    WINDOW_SLOTS,
)
from clarion.domain.resilience import Breaker
from clarion.domain.standing import Measure

Slots: TypeAlias = tuple[tuple[int, int, int], ...]


def counted(slots: Slots, breaker: Breaker, now_ms: int, calls: int, failures: int) -> Slots:
    """Return slots with calls of just now in them and without what is older than both windows."""
    narrow = max(breaker.window_ms // WINDOW_SLOTS, WINDOW_SLOT_MS_MIN)
    wide = max(breaker.degraded_window_ms // DEGRADED_SLOTS, WINDOW_SLOT_MS_MIN)
    kept: list[tuple[int, int, int]] = []
    for start_ms, had, failed in slots:
        if start_ms <= now_ms - max(breaker.window_ms, breaker.degraded_window_ms):
            continue
        if start_ms <= now_ms - breaker.window_ms:
            start_ms -= start_ms % wide
        _add(kept, start_ms, had, failed)
    start_ms = now_ms - now_ms % narrow
    # Workers read the clock before they may write: a slot never comes before one that is there already.
    _add(kept, max(start_ms, kept[-1][0]) if kept else start_ms, calls, failures)
    return tuple(kept)


def _add(slots: list[tuple[int, int, int]], start_ms: int, calls: int, failures: int) -> None:
    if slots and slots[-1][0] == start_ms:
        _, had, failed = slots[-1]
        slots[-1] = (start_ms, had + calls, failed + failures)
    elif calls:
        slots.append((start_ms, calls, failures))


def within(slots: Slots, window_ms: int, now_ms: int) -> tuple[int, int]:
    """Return the calls and failures of a window. What began before it is left out, so it never reaches back further."""
    calls = failures = 0
    for start_ms, had, failed in slots:
        if start_ms > now_ms - window_ms:
            calls += had
            failures += failed
    return calls, failures


def measured(rate_m: int, measure: Measure, now_ms: int, calls: int, failures: int, sick: float) -> tuple[int, Measure]:
    """Return the pace in thousandths of a message per second and what is not in it yet, after calls of just now.

    It is a mean over time, idle time too, of the last two minutes above all. A span in which more than a share of `sick`
    failed says nothing about the pace, and one that is too short yet is not looked at: what a worker does in its first
    moments is no pace.
    """
    if measure.since_ms == 0:
        return rate_m, Measure(now_ms, calls, failures, measure.covered_ms)
    spent_ms = now_ms - measure.since_ms
    had, failed = measure.calls + calls, measure.failures + failures
    if spent_ms < MEASURE_MS_MIN:
        return rate_m, Measure(measure.since_ms, had, failed, measure.covered_ms)
    if failed > sick * had:
        return rate_m, Measure(now_ms, 0, 0, measure.covered_ms)
    covered_ms = min(measure.covered_ms + spent_ms, MEASURE_MEMORY_MS)
    seen_m = had * 1_000_000 // spent_ms
    rate_m += (seen_m - rate_m) * min(spent_ms, covered_ms) // covered_ms
    return rate_m, Measure(now_ms, 0, 0, covered_ms)


def guessed(measure: Measure, now_ms: int) -> int:
    """Return the pace of an account that failed before its pace could be measured: what was called in its short life,
    spread over the least span that says anything."""
    return measure.calls * 1_000_000 // max(now_ms - measure.since_ms, MEASURE_MS_MIN)
