"""When a step continues: local times of day, and instants from expressions."""

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from clarion.domain.limits import WAIT_MS_MAX
from clarion.domain.localtime import first_ms, local_time
from clarion.plan.rules.workflow.state import NoValue

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_TO_LOOK: Final = 9
"""A week has every weekday; today's time may have passed, and a zone may skip a day."""


def next_at(clock: str, days: tuple[int, ...], zone: ZoneInfo, now_ms: int) -> int:
    """Return the first instant after `now_ms` (Unix ms) at which it is `clock` (`HH:MM`) in the zone, on one of `days`
    (ISO weekdays, none for any). Raises `NoValue` when there is none."""
    today, at = local_time(now_ms, zone).date(), time.fromisoformat(clock)
    for ahead in range(_DAYS_TO_LOOK):
        day = today + timedelta(days=ahead)
        if days and day.isoweekday() not in days:
            continue
        found_ms = first_ms(datetime.combine(day, at), zone)
        if found_ms > now_ms:
            return found_ms
    raise NoValue(f"it is never {clock} on days {days}")


def instant_ms(value: Any, now_ms: int) -> int:
    """Return the instant (Unix ms) of an expression's value, an RFC 3339 text or a timestamp. Raises `NoValue` when it
    is neither or further ahead than a workflow may wait."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        at_ms = (at - _EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError, OverflowError):
        raise NoValue(f"{str(value)[:80]!r} is not an instant with its offset, such as 2026-05-01T09:00:00Z") from None
    if at_ms > now_ms + WAIT_MS_MAX:
        raise NoValue(f"{str(value)[:80]} is more than a year ahead")
    return int(at_ms)


def instant_text(at_ms: int) -> str:
    """Return an instant (Unix ms) as RFC 3339 in UTC, as expressions and progress lines show it."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
