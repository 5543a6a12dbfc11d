"""Reads the text of a recurrence rule (RFC 5545, section 3.3.10), such as `FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9`.

Supported are INTERVAL, COUNT, UNTIL, WKST, BYMONTH, BYMONTHDAY, BYYEARDAY, BYDAY, BYHOUR, BYMINUTE and BYSETPOS, and
all frequencies but SECONDLY: a minute is the resolution.
"""

import re
from datetime import UTC, datetime, time, tzinfo
from itertools import product
from math import gcd
from typing import Final

from clarion.domain.limits import RECURRENCE_COUNT_MAX, RECURRENCE_INTERVAL_MAX, RRULE_CHARS_MAX
from clarion.domain.recurrence import DAY_MINUTES, STEP_MINUTES, Frequency, Recurrence

_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_OTHERS: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY")
_BOUNDS: Final = {
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSETPOS": (-366, 366),
}
"""Lists of numbers. Those below 0 count from the end; where these are allowed, 0 is invalid."""
_MISFITS: Final = {
    "BYMONTHDAY": (Frequency.WEEKLY,),
    "BYYEARDAY": (Frequency.MONTHLY, Frequency.WEEKLY, Frequency.DAILY),
    "BYSETPOS": (Frequency.HOURLY, Frequency.MINUTELY),
}
"""Frequencies with which a part has no meaning, or within the minutes of an hour no useful one."""
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,7}")
_DAY: Final = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")


def read_rule(text: str, start: datetime, zone: tzinfo) -> Recurrence:
    """Return the rule in a text, starting at a wall-clock time (a whole minute) in a zone. Raises `ValueError` with the
    fault in one sentence."""
    parts = _parts(text)
    frequency = _frequency(parts)
    lists = {name: _numbers(parts, name) for name in _BOUNDS}
    months, month_days = lists["BYMONTH"], lists["BYMONTHDAY"]
    days = _days(parts, frequency, within_months=bool(months))
    if not (month_days or days or lists["BYYEARDAY"]):
        # The day follows from the start.
        if frequency is Frequency.YEARLY:
            months = months or frozenset({start.month})
        if frequency in (Frequency.YEARLY, Frequency.MONTHLY):
            month_days = frozenset({start.day})
        elif frequency is Frequency.WEEKLY:
            days = frozenset({(0, start.weekday())})
    interval = _number(parts.get("INTERVAL", "1"), "INTERVAL", 1, RECURRENCE_INTERVAL_MAX)
    return Recurrence(
        frequency=frequency,
        start=start,
        interval=interval,
        times=_times(frequency, start, interval, lists["BYHOUR"], lists["BYMINUTE"]),
        months=months,
        month_days=month_days,
        year_days=lists["BYYEARDAY"],
        days=days,
        positions=lists["BYSETPOS"],
        week_start=_week_start(parts.get("WKST", "MO")),
        count=_number(parts["COUNT"], "COUNT", 1, RECURRENCE_COUNT_MAX) if "COUNT" in parts else None,
        until=_until(parts["UNTIL"], zone) if "UNTIL" in parts else datetime.max,
    )


def _parts(text: str) -> dict[str, str]:
    if len(text) > RRULE_CHARS_MAX:
        raise ValueError(f"is longer than {RRULE_CHARS_MAX} characters")
    parts: dict[str, str] = {}
    for part in text.upper().removeprefix("RRULE:").split(";"):
        name, _, value = part.partition("=")
        if name not in _OTHERS and name not in _BOUNDS:
            raise ValueError(f"has {name[:20]!r}; it may have {', '.join([*_OTHERS, *_BOUNDS])}")
        if not value or name in parts:
            raise ValueError(f"{name} is given without a value, or twice")
        parts[name] = value
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("COUNT and UNTIL exclude each other")
    if "BYSETPOS" in parts and len([name for name in parts if name.startswith("BY")]) == 1:
        raise ValueError("BYSETPOS needs another BY part to choose from")
    return parts


def _frequency(parts: dict[str, str]) -> Frequency:
    try:
        frequency = Frequency(parts.get("FREQ", ""))
    except ValueError:
        raise ValueError(f"FREQ must be one of {', '.join(Frequency)}") from None
    for name, misfits in _MISFITS.items():
        if name in parts and frequency in misfits:
            raise ValueError(f"{name} does not go with FREQ={frequency}")
    return frequency


def _numbers(parts: dict[str, str], name: str) -> frozenset[int]:
    least, most = _BOUNDS[name]
    numbers = (
        frozenset(_number(one, name, least, most) for one in parts[name].split(",")) if name in parts else frozenset()
    )
    if least < 0 and 0 in numbers:
        raise ValueError(f"{name} counts from 1, or from -1 at the end")
    return numbers


def _number(text: str, name: str, least: int, most: int) -> int:
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(f"{name} must be within {least} and {most}")
    return int(text)


def _days(parts: dict[str, str], frequency: Frequency, *, within_months: bool) -> frozenset[tuple[int, int]]:
    if "BYDAY" not in parts:
        return frozenset()
    yearly = frequency is Frequency.YEARLY
    most = 53 if yearly and not within_months else 5 if yearly or frequency is Frequency.MONTHLY else 0
    days = set()
    for text in parts["BYDAY"].split(","):
        found = _DAY.fullmatch(text)
        if found is None:
            raise ValueError(
                f"BYDAY must be a list of {', '.join(_WEEKDAYS)}, of a month or year with their number (-1FR)"
            )
        number = 0
        if found[1]:
            number = _number(found[1], "the number of a BYDAY", -most, most)
            if number == 0:
                raise ValueError("a BYDAY has a number only in months and years, counting from 1 or -1")
        days.add((number, _WEEKDAYS.index(found[2])))
    return frozenset(days)


def _week_start(text: str) -> int:
    if text not in _WEEKDAYS:
        raise ValueError(f"WKST must be one of {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(text)


def _until(text: str, zone: tzinfo) -> datetime:
    """Return the last wall-clock time of a rule: a date includes its day, a time in UTC is converted to the zone."""
    try:
        if len(text) == len("20261231"):
            return datetime.combine(datetime.strptime(text, "%Y%m%d").date(), time.max)
        at = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S")
        return at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if text.endswith("Z") else at
    except (ValueError, OverflowError):
        raise ValueError("UNTIL must be a date (20261231) or a time (20261231T090000, or in UTC with Z)") from None


def _times(
    frequency: Frequency, start: datetime, interval: int, hours: frozenset[int], minutes: frozenset[int]
) -> tuple[int, ...]:
    """Return the minutes of the day at which a rule fires; of an HOURLY or MINUTELY rule those that its interval can
    reach."""
    step_minutes = STEP_MINUTES.get(frequency, DAY_MINUTES)
    if not hours:
        hours = frozenset(range(24)) if step_minutes < DAY_MINUTES else frozenset({start.hour})
    if not minutes:
        minutes = frozenset(range(60)) if step_minutes == 1 else frozenset({start.minute})
    times = sorted(hour * 60 + minute for hour, minute in product(hours, minutes))
    stride = gcd(interval, DAY_MINUTES // step_minutes)
    first = (start.hour * 60 + start.minute) // step_minutes
    return tuple(minute for minute in times if (minute // step_minutes - first) % stride == 0)
