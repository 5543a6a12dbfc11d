"""Recurrence rules (RFC 5545, section 3.3.10) on a wall clock, searched within bounds.

Libraries walk from the start of a rule to the requested time, and to the year 9999 if no occurrence follows: seconds
for rules that any tenant may store. Here a search begins at the requested time and reads at most `RECURRENCE_DAYS_MAX`
days.
"""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final

import msgspec

from clarion.domain.limits import RECURRENCE_DAYS_MAX

DAY_MINUTES: Final = 24 * 60


class Frequency(StrEnum):
    """The frequency of a rule, longest first."""

    YEARLY = "YEARLY"
    MONTHLY = "MONTHLY"
    WEEKLY = "WEEKLY"
    DAILY = "DAILY"
    HOURLY = "HOURLY"
    MINUTELY = "MINUTELY"


STEP_MINUTES: Final = {Frequency.HOURLY: 60, Frequency.MINUTELY: 1}
"""Frequencies below a day."""


class Recurrence(msgspec.Struct, frozen=True):
    """A rule completed with the defaults that follow from its start; an empty part allows everything.

    `start` and `until` are wall-clock times. `days` are (n, weekday, Monday is 0): the n-th of the period, from its end when
    negative, every one when 0. `times` are minutes of the day, ascending; of an HOURLY or MINUTELY rule those that its
    interval ever reaches.
    """

    frequency: Frequency
    start: datetime
    interval: int
    times: tuple[int, ...]
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    days: frozenset[tuple[int, int]] = frozenset()
    positions: frozenset[int] = frozenset()
    week_start: int = 0
    count: int | None = None
    until: datetime = datetime.max


def times_after(rule: Recurrence, after: datetime) -> Iterator[datetime]:
    """Yield the wall-clock times of a rule after `after`, ascending, up to `RECURRENCE_DAYS_MAX` days ahead."""
    if not rule.times:
        return
    # COUNT counts from the start, not from the requested time.
    since = rule.start if rule.count is not None or after < rule.start else after
    end = (max(rule.start, after) + timedelta(days=RECURRENCE_DAYS_MAX)).date()
    times = (at for period in _periods(rule, since, end) for at in _of_period(rule, period) if at >= rule.start)
    for at in islice(times, rule.count):
        if at > rule.until:
            return
        if at > after:
            yield at


def _periods(rule: Recurrence, since: datetime, end: date) -> Iterator[list[date]]:
    """Yield the days the rule may fall on, period by period, from the one with `since` in it."""
    first = _index(rule, rule.start.date())
    # Rules below a day visit every day: `_minutes` selects the minutes.
    step = 1 if rule.frequency in STEP_MINUTES else rule.interval
    skipped = (_index(rule, since.date()) - first) // step
    for index in range(first + skipped * step, _index(rule, end) + 1, step):
        if days := [day for day in _days(rule, index) if _allows(rule, day)]:
            yield days


def _index(rule: Recurrence, day: date) -> int:
    """Return the number of the period that a day is in."""
    match rule.frequency:
        case Frequency.YEARLY:
            return day.year
        case Frequency.MONTHLY:
            return day.year * 12 + day.month - 1
        case Frequency.WEEKLY:
            return (day.toordinal() - 1 - rule.week_start) // 7
        case _:
            return day.toordinal()


def _days(rule: Recurrence, index: int) -> list[date]:
    """Return the days of a period; of a year those in the months of the rule."""
    match rule.frequency:
        case Frequency.YEARLY:
            months = sorted(rule.months) or range(1, 13)
            return [day for month in months for day in _month(index, month)]
        case Frequency.MONTHLY:
            return _month(index // 12, index % 12 + 1)
        case Frequency.WEEKLY:
            first = index * 7 + 1 + rule.week_start
            return [date.fromordinal(ordinal) for ordinal in range(first, first + 7)]
        case _:
            return [date.fromordinal(index)]


def _month(year: int, month: int) -> list[date]:
    return [date(year, month, day) for day in range(1, monthrange(year, month)[1] + 1)]


def _allows(rule: Recurrence, day: date) -> bool:
    if rule.months and day.month not in rule.months:
        return False
    if rule.month_days and rule.month_days.isdisjoint(_from_both_ends(day.day, _month_length(day))):
        return False
    if rule.year_days and rule.year_days.isdisjoint(_from_both_ends(_day_of_year(day), _year_length(day))):
        return False
    return not rule.days or any(weekday == day.weekday() and _is_nth(rule, day, n) for n, weekday in rule.days)


def _is_nth(rule: Recurrence, day: date, n: int) -> bool:
    if n == 0:
        return True
    if rule.frequency is Frequency.YEARLY and not rule.months:
        place, length = _day_of_year(day), _year_length(day)
    else:
        place, length = day.day, _month_length(day)
    return n in ((place - 1) // 7 + 1, -((length - place) // 7) - 1)


def _from_both_ends(place: int, length: int) -> tuple[int, int]:
    return place, place - length - 1


def _day_of_year(day: date) -> int:
    return day.timetuple().tm_yday


def _month_length(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _year_length(day: date) -> int:
    return _day_of_year(date(day.year, 12, 31))


def _of_period(rule: Recurrence, days: list[date]) -> Iterator[datetime]:
    if not rule.positions:
        return (_at(day, minute) for day in days for minute in _minutes(rule, day))
    # Computed, not listed: a year with every minute of its days has half a million.
    number = len(days) * len(rule.times)
    places = {place - 1 if place > 0 else number + place for place in rule.positions}
    pairs = (divmod(place, len(rule.times)) for place in sorted(places) if 0 <= place < number)
    return (_at(days[day], rule.times[minute]) for day, minute in pairs)


def _minutes(rule: Recurrence, day: date) -> Iterator[int] | tuple[int, ...]:
    """Return the minutes of a day at which the rule fires."""
    step_minutes = STEP_MINUTES.get(rule.frequency)
    if step_minutes is None:
        return rule.times
    steps_a_day = DAY_MINUTES // step_minutes
    base = rule.start.toordinal() * steps_a_day + (rule.start.hour * 60 + rule.start.minute) // step_minutes
    first = (base - day.toordinal() * steps_a_day) % rule.interval
    if first >= steps_a_day:
        return ()
    reached = range(first, steps_a_day, rule.interval)
    return (minute for minute in rule.times if minute // step_minutes in reached)


def _at(day: date, minute: int) -> datetime:
    return datetime.combine(day, time(minute // 60, minute % 60))
