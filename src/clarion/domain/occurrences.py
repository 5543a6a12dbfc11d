"""The occurrences of a schedule. Its rule applies to the wall clock of its zone.

A time that a clock change skips occurs at the first instant after the gap, one that the clock shows twice occurs the
first time, and two at the same instant are one occurrence.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from clarion.domain.errors import InvalidField
from clarion.domain.limits import CRON_CHARS_MAX, SCHEDULE_START_YEARS
from clarion.domain.localtime import first_ms, local_time, zone_of
from clarion.domain.recurrence import times_after
from clarion.domain.rrule import read_rule
from clarion.domain.schedule import Schedule

FIRST_ZONE: Final = "Etc/GMT-14"
"""The zone in which every wall-clock time comes first. The sign in these names is inverted: it is ahead of UTC."""
FIRST_ZONE_MS: Final = 14 * 3600 * 1000
"""The offset of `FIRST_ZONE` from UTC."""
LAST_ZONE_MS: Final = FIRST_ZONE_MS + 12 * 3600 * 1000
"""How much later the last place on earth, 12 hours behind UTC, has the same wall-clock time."""
_CRON_FIELDS: Final = 5
_ANY_TIME: Final = datetime(2000, 1, 1)


def zone_of_schedule(schedule: Schedule) -> ZoneInfo:
    """Return the zone of the rule's wall clock; with `local_time` the first zone to reach each time."""
    return zone_of(FIRST_ZONE if schedule.local_time else schedule.zone)


def occurrences_after(schedule: Schedule, after_ms: int) -> Iterator[int]:
    """Yield the occurrences after an instant (all Unix ms), ascending. With `local_time` each is the instant at which
    the first recipients have that time. The schedule must have passed `check_when`."""
    zone = zone_of_schedule(schedule)
    latest_ms = after_ms
    for at in _times_after(schedule, local_time(after_ms, zone), zone):
        at_ms = first_ms(at, zone)
        # Times of an hour that the clock shows again have already occurred; all times of a gap are one instant.
        if at_ms > latest_ms:
            yield at_ms
            latest_ms = at_ms


def next_after(schedule: Schedule, after_ms: int) -> int | None:
    """Return the first occurrence after an instant (both Unix ms), None when none follows."""
    return next(occurrences_after(schedule, after_ms), None)


def check_when(schedule: Schedule) -> None:
    """Raise `InvalidField` unless the schedule has exactly one rule, and a valid one."""
    if (schedule.cron is None) == (schedule.rrule is None):
        raise InvalidField("needs exactly one of cron and rrule", field="cron")
    if schedule.cron is not None:
        if schedule.start is not None:
            raise InvalidField("goes with rrule only", field="start")
        _check_cron(schedule.cron)
        return
    start = _start(schedule)
    try:
        read_rule(schedule.rrule or "", start, zone_of_schedule(schedule))
    except ValueError as error:
        raise InvalidField(str(error), field="rrule") from None


def _times_after(schedule: Schedule, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    if schedule.cron is not None:
        return _cron(schedule.cron, after)
    return times_after(read_rule(schedule.rrule or "", _start(schedule), zone), after)


def _check_cron(text: str) -> None:
    if len(text) > CRON_CHARS_MAX or len(text.split()) != _CRON_FIELDS:
        raise InvalidField(
            f"must have {_CRON_FIELDS} fields (minute, hour, day of month, month, day of week) in at most "
            f"{CRON_CHARS_MAX} characters",
            field="cron",
        )
    try:
        _cron(text, _ANY_TIME)
    except ValueError as error:
        raise InvalidField(str(error), field="cron") from None


def _cron(text: str, after: datetime) -> CronSim:
    try:
        return CronSim(text, after)
    except CronSimError as error:
        raise ValueError(str(error)) from None


def _start(schedule: Schedule) -> datetime:
    if schedule.start is None:
        raise InvalidField("is required with rrule", field="start")
    try:
        start = datetime.fromisoformat(schedule.start)
    except ValueError:
        start = None
    if start is None or start.tzinfo is not None or start.second or start.microsecond:
        raise InvalidField("must be a wall-clock time, whole minutes and no offset (2026-12-31T09:00)", field="start")
    if start.year not in SCHEDULE_START_YEARS:
        years = SCHEDULE_START_YEARS
        raise InvalidField(f"must be within the years {years[0]} to {years[-1]}", field="start")
    return start
