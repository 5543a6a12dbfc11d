"""Calls under way at an account, counted over all workers without knowing who they are."""

from collections.abc import Mapping, MutableMapping
from typing import Final, NamedTuple

from clarion.domain.limits_pace import PACE_CALLS_SPAN_MS, PACE_CALLS_SPANS, PACE_TURN_DIVISOR, PACE_TURN_MS
from clarion.domain.quota import Usage

TURN: Final = "turn"
_ROWS: Final = PACE_CALLS_SPANS + 1
CALLS: Final = (TURN, *(f"calls:{index}" for index in range(_ROWS)))
"""The kinds of buckets that count calls. In those of calls, `used_m` is their number and `period` the span they are of; in
the one of the turn, `used_m` calls are kept until `at_ms` for the worker `period`."""


class Calls(NamedTuple):
    """Calls of one worker: how many are under way, and how many stand in the row of which span."""

    under_way: int = 0
    booked: int = 0
    span: int = 0


def calls_open(limit: int, mine: Calls, books: Mapping[str, Usage], worker: int, now_ms: int) -> int:
    """Return how many more calls this worker may begin."""
    rows = [books[kind] for kind in CALLS[1:]]
    total = sum(row.used_m for row in rows if _counts(row.period, now_ms))
    if _counts(mine.span, now_ms) and _row(books, mine.span).period == mine.span:
        total -= mine.booked
    return max(0, limit - total - mine.under_way - _kept(limit, books[TURN], worker, now_ms))


def calls_taken(
    limit: int, mine: Calls, books: MutableMapping[str, Usage], worker: int, now_ms: int, *, wanted: int, granted: int
) -> Calls:
    """Count this worker's calls as of now, `granted` more than before, in `books`; ask for a turn when it got none of those
    `wanted` for this limit's sake, and give the turn back when it got some."""
    row = _row(books, mine.span)
    if row.period == mine.span:
        books[_kind(mine.span)] = row._replace(used_m=max(0, row.used_m - mine.booked))
    span, number = now_ms // PACE_CALLS_SPAN_MS, mine.under_way + granted
    row = _row(books, span)
    before = row.used_m if row.period == span else 0
    books[_kind(span)] = Usage(before + number, now_ms, span)
    turn = books[TURN]
    if granted and turn.period == worker:
        books[TURN] = turn._replace(used_m=0)
    elif wanted and not granted and not _kept(limit, turn, worker, now_ms):
        books[TURN] = Usage(min(wanted, max(1, limit // PACE_TURN_DIVISOR)), now_ms + PACE_TURN_MS, worker)
    return Calls(number, number, span)


def _kept(limit: int, turn: Usage, worker: int, now_ms: int) -> int:
    """Return how many calls are kept for another worker."""
    stands = turn.period != worker and now_ms < turn.at_ms <= now_ms + PACE_TURN_MS
    return min(turn.used_m, max(1, limit // PACE_TURN_DIVISOR)) if stands else 0


def _counts(span: int, now_ms: int) -> bool:
    # What lies ahead is of before a restart of the machine.
    return 0 <= now_ms // PACE_CALLS_SPAN_MS - span < PACE_CALLS_SPANS


def _kind(span: int) -> str:
    return CALLS[1 + span % _ROWS]


def _row(books: Mapping[str, Usage], span: int) -> Usage:
    return books[_kind(span)]
