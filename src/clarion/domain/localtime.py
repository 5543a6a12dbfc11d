"""Wall clocks: which instant a local time of a zone is.

A time that a clock change leaves out stands for the first instant after the gap, one that happens twice for the first of
both: whatever is set for a wall clock happens once, and never before the clock has shown that time.
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from clarion.domain.limits import ZONES_MAX

_SECOND_MS = 1_000


@lru_cache(maxsize=ZONES_MAX)
def zone_of(*names: str) -> ZoneInfo:
    """Return the first of these IANA zones that exists, UTC when none does."""
    for name in names:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            # An empty name, or a zone that has left the tz data since it was stored.
            continue
    return ZoneInfo("UTC")


def local_time(at_ms: int, zone: ZoneInfo) -> datetime:
    """Return what a clock on the wall shows at an instant (Unix ms), without its zone."""
    return datetime.fromtimestamp(at_ms / _SECOND_MS, zone).replace(tzinfo=None, fold=0)


def first_ms(wall: datetime, zone: ZoneInfo) -> int:
    """Return the first instant (Unix ms) at which a clock of the zone shows `wall` (without zone) or, when it never does, a
    later time."""
    at_s = _timestamp_s(wall, zone, 0)
    if _shown(at_s, zone) == wall:
        return at_s * _SECOND_MS
    # A gap: read by the offset before it, `wall` lies behind the change, read by the one after it, before.
    before_s, after_s = _timestamp_s(wall, zone, 1), at_s
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if _shown(middle_s, zone) < wall:
            before_s = middle_s
        else:
            after_s = middle_s
    return after_s * _SECOND_MS


def _timestamp_s(wall: datetime, zone: ZoneInfo, fold: int) -> int:
    return int(wall.replace(tzinfo=zone, fold=fold).timestamp())


def _shown(at_s: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).replace(tzinfo=None, fold=0)
