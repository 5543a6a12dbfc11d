"""How calls and failures are counted over sliding windows, and how the normal pace of an account is measured.

A window is counted in slots. Those of the shorter window are narrow; slots that have left it are merged into the wider
slots of the longer one, so that an account has some forty slots at any rate of use.
"""

from typing import TypeAlias

from clarion.domain.account_health import Measure
from clarion.domain.limits_delivery import (
    DEGRADED_SLOTS,
    MEASURE_MEMORY_MS,
    MEASURE_MS_MIN,
    WINDOW_SLOT_MS_MIN,
    WINDOW_SLOTS,
)
from clarion.domain.resilience import Breaker

Slots: TypeAlias = tuple[tuple[int, int, int], ...]


def count_calls(slots: Slots, breaker: Breaker, now_ms: int, calls: int, failures: int) -> Slots:
    """Return slots with the calls of this moment added and without those older than both windows."""
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
    # Workers read the clock before they may write: a new slot never precedes an existing one.
    _add(kept, max(start_ms, kept[-1][0]) if kept else start_ms, calls, failures)
    return tuple(kept)


def _add(slots: list[tuple[int, int, int]], start_ms: int, calls: int, failures: int) -> None:
    if slots and slots[-1][0] == start_ms:
        _, had, failed = slots[-1]
        slots[-1] = (start_ms, had + calls, failed + failures)
    elif calls:
        slots.append((start_ms, calls, failures))


def within(slots: Slots, window_ms: int, now_ms: int) -> tuple[int, int]:
    """Return the calls and failures of a window. A slot that began before it is left out, so the count never reaches
    further back."""
    calls = failures = 0
    for start_ms, had, failed in slots:
        if start_ms > now_ms - window_ms:
            calls += had
            failures += failed
    return calls, failures


def measure_pace(
    rate_m: int, measure: Measure, now_ms: int, calls: int, failures: int, sick: float
) -> tuple[int, Measure]:
    """Return the pace in thousandths of a message per second, and the measure of calls not included in it yet, after
    calls of this moment.

    The pace is a mean over time, idle time included, dominated by the last two minutes. A span in which more than a
    share of `sick` failed is ignored, and a span that is still too short is not evaluated: the first moments of a
    worker do not show a pace.
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


def guess_pace(measure: Measure, now_ms: int) -> int:
    """Return the pace of an account that failed before its pace could be measured: its calls so far, spread over at
    least the shortest span that can be evaluated."""
    return measure.calls * 1_000_000 // max(now_ms - measure.since_ms, MEASURE_MS_MIN)
