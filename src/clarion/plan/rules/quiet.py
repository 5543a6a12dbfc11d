"""Quiet hours: whether deliveries to a person are held at an instant, and until when.

Windows are wall-clock times in the person's zone. A boundary that a clock change skips is the first instant after it,
and one that occurs twice is the first of both (`domain/localtime.py`). So a window ends once, and lasts its wall-clock
length plus or minus the change, and never repeats.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from clarion.domain.limits_processes import QUIET_SPANS_MAX
from clarion.domain.localtime import first_ms, local_time, zone_of
from clarion.domain.quiet import QuietHours, QuietWindow

DAY_MS: Final = 24 * 3600 * 1000
SEARCH_DAYS: Final = 8
"""How far ahead the end of quiet hours is searched: windows repeat weekly, and a clock change can remove a gap between
them."""
FOREVER_MS: Final = 1 << 62


class Quiet(NamedTuple):
    """The end of the current quiet hours (Unix ms), None outside of them. Also true of every instant before
    `valid_until_ms`."""

    until_ms: int | None
    valid_until_ms: int


class _Spans(NamedTuple):
    """Disjoint quiet times, ascending, for any instant of one UTC day."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    known_to_ms: int


def quiet_until(quiet: QuietHours, zone: str, channel: str, now_ms: int) -> Quiet:
    """Return whether a channel is held now, and until which first allowed instant, in an IANA zone (an unknown one is
    UTC). Quiet hours longer than `SEARCH_DAYS` are cut there, and have to be evaluated again at that time at the
    latest.
    """
    if not quiet.windows or channel not in quiet.channels:
        return Quiet(None, FOREVER_MS)
    today = now_ms // DAY_MS
    spans = _spans(quiet.windows, zone, today)
    place = bisect_right(spans.starts, now_ms)
    if place and now_ms < spans.ends[place - 1]:
        end_ms, latest_ms = spans.ends[place - 1], now_ms + SEARCH_DAYS * DAY_MS
        return Quiet(end_ms, end_ms) if end_ms <= latest_ms else Quiet(latest_ms, (today + 1) * DAY_MS)
    return Quiet(None, spans.starts[place] if place < len(spans.starts) else spans.known_to_ms)


@lru_cache(maxsize=QUIET_SPANS_MAX)
def _spans(windows: tuple[QuietWindow, ...], zone: str, today: int) -> _Spans:
    """Return the quiet times around a UTC day (counted from 1970). Complete up to `known_to_ms`, which is more than
    `SEARCH_DAYS` after any instant of the day."""
    place = zone_of(zone)
    midnight = datetime.combine(local_time(today * DAY_MS, place).date(), time())
    # A window of the day before yesterday can last until today where a zone skips a whole day in between.
    days = [midnight + timedelta(days=number) for number in range(-2, SEARCH_DAYS + 4)]
    starts: list[int] = []
    ends: list[int] = []
    for start_ms, end_ms in sorted(_lasting(windows, days, place)):
        if ends and start_ms <= ends[-1]:
            ends[-1] = max(ends[-1], end_ms)
        else:
            starts.append(start_ms)
            ends.append(end_ms)
    return _Spans(tuple(starts), tuple(ends), first_ms(days[-1], place))


def _lasting(windows: tuple[QuietWindow, ...], days: list[datetime], zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    for window in windows:
        start, end = _since_midnight(window.start), _since_midnight(window.end)
        if end <= start:
            end += timedelta(days=1)
        for day in days:
            if not window.days or day.isoweekday() in window.days:
                start_ms, end_ms = first_ms(day + start, zone), first_ms(day + end, zone)
                if start_ms < end_ms:
                    yield start_ms, end_ms


def _since_midnight(text: str) -> timedelta:
    return timedelta(hours=int(text[:2]), minutes=int(text[3:]))
