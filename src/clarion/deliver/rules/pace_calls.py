"""Calls under way at an account, counted over all workers without a list of workers."""

from collections.abc import Mapping, MutableMapping
from typing import Final, NamedTuple

from clarion.domain.limits_delivery import PACE_CALLS_SPAN_MS, PACE_CALLS_SPANS, PACE_TURN_DIVISOR, PACE_TURN_MS
from clarion.domain.quota import Usage

TURN: Final = "turn"
_ROWS: Final = PACE_CALLS_SPANS + 1
CALLS: Final = (TURN, *(f"calls:{index}" for index in range(_ROWS)))
"""The kinds of buckets that count calls. In those of calls, `used_m` is their number and `period` their span; in the
one of the turn, `used_m` calls are reserved until `at_ms` for the worker `period`."""


class Calls(NamedTuple):
    """Calls of one worker: how many are under way, and how many are counted in the row of which span."""

    under_way: int = 0
    booked: int = 0
    span: int = 0


def calls_open(limit: int, own: Calls, usages: Mapping[str, Usage], worker: int, now_ms: int) -> int:
    """Return how many more calls this worker may start."""
    rows = [usages[kind] for kind in CALLS[1:]]
    total = sum(row.used_m for row in rows if _counts(row.period, now_ms))
    if _counts(own.span, now_ms) and _row(usages, own.span).period == own.span:
        total -= own.booked
    return max(0, limit - total - own.under_way - _reserved(limit, usages[TURN], worker, now_ms))


def calls_taken(
    limit: int, own: Calls, usages: MutableMapping[str, Usage], worker: int, now_ms: int, *, wanted: int, granted: int
) -> Calls:
    """Count this worker's calls as of now, `granted` more than before, in `usages`, and return them. Reserves a turn
    when the worker got none of those `wanted` because of this limit, and releases the turn when it got some."""
    row = _row(usages, own.span)
    if row.period == own.span:
        usages[_kind(own.span)] = row._replace(used_m=max(0, row.used_m - own.booked))
    span, number = now_ms // PACE_CALLS_SPAN_MS, own.under_way + granted
    row = _row(usages, span)
    before = row.used_m if row.period == span else 0
    usages[_kind(span)] = Usage(before + number, now_ms, span)
    turn = usages[TURN]
    if granted and turn.period == worker:
        usages[TURN] = turn._replace(used_m=0)
    elif wanted and not granted and not _reserved(limit, turn, worker, now_ms):
        usages[TURN] = Usage(min(wanted, max(1, limit // PACE_TURN_DIVISOR)), now_ms + PACE_TURN_MS, worker)
    return Calls(number, number, span)


def _reserved(limit: int, turn: Usage, worker: int, now_ms: int) -> int:
    """Return how many calls are reserved for another worker."""
    stands = turn.period != worker and now_ms < turn.at_ms <= now_ms + PACE_TURN_MS
    return min(turn.used_m, max(1, limit // PACE_TURN_DIVISOR)) if stands else 0


def _counts(span: int, now_ms: int) -> bool:
    # A span ahead of now dates from before a restart of the machine.
    return 0 <= now_ms // PACE_CALLS_SPAN_MS - span < PACE_CALLS_SPANS


def _kind(span: int) -> str:
    return CALLS[1 + span % _ROWS]


def _row(usages: Mapping[str, Usage], span: int) -> Usage:
    return usages[_kind(span)]
