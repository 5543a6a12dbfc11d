"""Occurrences against a reference that steps minute by minute, and recurrence rules against dateutil's."""

import warnings
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clarion.domain.errors import InvalidField
from clarion.domain.limits import RECURRENCE_DAYS_MAX
from clarion.domain.localtime import local_time
from clarion.domain.occurrences import check_when, next_after, occurrences_after
from clarion.domain.recurrence import times_after
from clarion.domain.rrule import read_rule
from clarion.domain.schedule import Schedule, ScheduleTo

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
ZONES = sorted(available_timezones())


def schedule(**when):
    return Schedule(ScheduleTo(all=True), template="hello", **when)


def occurrences(one, after_ms, until_ms):
    """Return every occurrence after one instant, up to another."""
    while (after_ms := next_after(one, after_ms)) is not None and after_ms <= until_ms:
        yield after_ms


def walked(matches, zone, after_ms, until_ms):
    """Return the same by reading the wall clock every minute. A skipped local time occurs at the next one shown; a repeated
    local time does not occur again."""
    at_ms = after_ms - after_ms % MINUTE_MS - 30 * HOUR_MS
    latest = local_time(at_ms, zone)
    while (at_ms := at_ms + MINUTE_MS) <= until_ms:
        shown = local_time(at_ms, zone)
        passed = [latest + timedelta(minutes=n) for n in range(1, int((shown - latest).total_seconds()) // 60 + 1)]
        latest = max(latest, shown)
        if at_ms > after_ms and any(map(matches, passed)):
            yield at_ms


@st.composite
def fields(draw, values):
    """Return a field of a cron expression and the values it matches."""
    kind = draw(st.sampled_from(["*", "list", "range", "step"]))
    if kind == "*":
        return "*", set(values)
    if kind == "list":
        chosen = draw(st.sets(st.sampled_from(values), min_size=1, max_size=4))
        return ",".join(map(str, sorted(chosen))), chosen
    if kind == "range":
        first, last = sorted(draw(st.tuples(st.sampled_from(values), st.sampled_from(values))))
        return f"{first}-{last}", set(range(first, last + 1))
    step = draw(st.integers(2, 30))
    return f"*/{step}", set(values[::step])


@st.composite
def crons(draw):
    """Return a cron expression and a function that returns whether it matches a wall-clock minute."""
    minute, minutes = draw(fields(range(60)))
    hour, hours = draw(fields(range(24)))
    day, days = draw(fields(range(1, 32)))
    weekday, weekdays = draw(fields(range(7)))
    either = not day.startswith("*") and not weekday.startswith("*")

    def matches(at):
        by_day, by_weekday = at.day in days, at.isoweekday() % 7 in weekdays
        right_day = by_day or by_weekday if either else by_day and by_weekday
        return right_day and at.hour in hours and at.minute in minutes

    return f"{minute} {hour} {day} * {weekday}", matches


@st.composite
def instants(draw):
    """Return a zone and an instant in it: within hours of a clock change, if the zone has one in that year."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    first = datetime(draw(st.integers(2001, 2036)), 1, 1, tzinfo=UTC)
    days = [int((first + timedelta(days=n)).timestamp()) * 1000 for n in range(367)]
    changed = [day_ms for day_ms in days if offset(zone, day_ms) != offset(zone, day_ms + DAY_MS)]
    if not changed:
        return zone, draw(st.sampled_from(days)) + draw(st.integers(0, DAY_MS))
    day_ms = draw(st.sampled_from(changed))
    minutes = range(day_ms, day_ms + DAY_MS, MINUTE_MS)
    change = bisect_left(minutes, True, key=lambda at_ms: offset(zone, at_ms) != offset(zone, day_ms))
    return zone, day_ms + change * MINUTE_MS + draw(st.integers(-3 * HOUR_MS, 3 * HOUR_MS))


def offset(zone, at_ms):
    return datetime.fromtimestamp(at_ms / 1000, zone).utcoffset()


@pytest.mark.slow
@given(crons(), instants())
def test_cron_occurs_when_a_walker_who_watches_the_clock_says(cron, instant):
    (text, matches), (zone, after_ms) = cron, instant
    until_ms = after_ms + 36 * HOUR_MS
    found = list(islice(occurrences(schedule(cron=text, zone=zone.key), after_ms, until_ms), 5_000))
    assert found == list(walked(matches, zone, after_ms, until_ms))


@pytest.mark.slow
@given(st.sets(st.integers(0, 23), min_size=1), st.sets(st.integers(0, 59), min_size=1, max_size=10), instants())
def test_an_rrule_goes_by_the_same_clock(hours, minutes, instant):
    zone, after_ms = instant
    until_ms = after_ms + 36 * HOUR_MS
    text = f"FREQ=DAILY;BYHOUR={','.join(map(str, hours))};BYMINUTE={','.join(map(str, minutes))}"
    one = schedule(rrule=text, start="2000-01-01T00:00", zone=zone.key)
    wanted = walked(lambda at: at.hour in hours and at.minute in minutes, zone, after_ms, until_ms)
    assert list(occurrences(one, after_ms, until_ms)) == list(wanted)


@given(crons(), instants())
def test_occurrences_grow_and_none_lies_between_two(cron, instant):
    (text, _), (zone, after_ms) = cron, instant
    one = schedule(cron=text, zone=zone.key)
    first_ms = next_after(one, after_ms)
    if first_ms is not None:
        assert first_ms > after_ms
        assert next_after(one, first_ms - 1) == first_ms
        assert next_after(one, (after_ms + first_ms) // 2) == first_ms


@given(crons(), instants())
def test_with_local_time_it_begins_where_the_day_does(cron, instant):
    (text, matches), (_, after_ms) = cron, instant
    at_ms = next_after(schedule(cron=text, local_time=True), after_ms)
    assume(at_ms is not None)
    assert matches(local_time(at_ms, ZoneInfo("Pacific/Kiritimati")))
    assert at_ms == next_after(schedule(cron=text, zone="Pacific/Kiritimati"), after_ms)


def numbers(least, most, signed=False):
    one = st.integers(least, most)
    both = one | one.map(int.__neg__) if signed else one
    return st.sets(both, min_size=1, max_size=3).map(lambda chosen: ",".join(map(str, sorted(chosen))))


WEEKDAYS = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
BY = {
    "BYMONTH": numbers(1, 12),
    "BYMONTHDAY": numbers(1, 31, signed=True),
    "BYYEARDAY": numbers(1, 366, signed=True),
    "BYDAY": st.sets(WEEKDAYS, min_size=1, max_size=4).map(lambda chosen: ",".join(sorted(chosen))),
    "BYHOUR": numbers(0, 23),
    "BYMINUTE": numbers(0, 59),
    "BYSETPOS": numbers(1, 5, signed=True),
}
LATE_YEARS = range(9950, 9966)
"""Years near the end of the calendar, so that the search of a rule that never fires ends soon."""


@st.composite
def rules(draw):
    """Return the text of a rule that the RFC defines. Positions in weeks are left out: the RFC does not define whether the
    week of the start is complete."""
    frequency = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    fits = {
        "YEARLY": set(BY), "MONTHLY": set(BY) - {"BYYEARDAY"}, "WEEKLY": set(BY) - {"BYYEARDAY", "BYMONTHDAY", "BYSETPOS"},
        "DAILY": set(BY) - {"BYYEARDAY"},
    }.get(frequency, set(BY) - {"BYSETPOS"})  # fmt: skip
    chosen = draw(st.sets(st.sampled_from(sorted(fits)), max_size=3))
    assume(chosen != {"BYSETPOS"})
    parts = {"FREQ": frequency} | {name: draw(BY[name]) for name in sorted(chosen)}
    if "BYDAY" in parts and frequency in ("YEARLY", "MONTHLY") and draw(st.booleans()):
        parts["BYDAY"] = ",".join(
            f"{draw(st.sampled_from([-5, -2, -1, 1, 2, 5]))}{day}" for day in parts["BYDAY"].split(",")
        )
    parts["INTERVAL"] = str(draw(st.integers(1, 4) | st.integers(1, 100)))
    parts["WKST"] = draw(WEEKDAYS)
    if draw(st.booleans()):
        parts["COUNT"] = str(draw(st.integers(1, 20)))
    elif draw(st.booleans()):
        parts["UNTIL"] = draw(st.dates(datetime(9960, 1, 1).date(), datetime(9975, 1, 1).date())).strftime(
            "%Y%m%dT090000"
        )
    return ";".join(f"{name}={value}" for name, value in parts.items())


LATE = st.datetimes(datetime(LATE_YEARS[0], 1, 1), datetime(LATE_YEARS[-1], 12, 31)).map(
    lambda at: at.replace(second=0, microsecond=0)
)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(rules(), LATE, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_a_rule_means_what_dateutil_takes_it_for(text, start, later):
    after = start + later
    end = after + timedelta(days=RECURRENCE_DAYS_MAX - 366)
    found = takewhile(lambda at: at < end, times_after(read_rule(text, start, ZoneInfo("UTC")), after))
    try:
        with warnings.catch_warnings(action="ignore"):
            wanted = [at for at in rrulestr(text, dtstart=start).xafter(after, count=5) if at < end]
    except ValueError:
        wanted = []  # dateutil's error when the interval never meets one of the times
    assert list(islice(found, 5)) == wanted


PIECES = st.sampled_from([
    *"0123456789*/,-#L;=:TZ \n\x00\u0663\u00b2", "FREQ=", "BYDAY=", "BYHOUR=", "UNTIL=", "COUNT=", "INTERVAL=", "BYSETPOS=",
    "RRULE:", "WKST=", "YEARLY", "MINUTELY", "MON", "-1FR", "20301231", "T090000Z", "99991231T235959Z", "366", "1000000",
])  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30)
STARTS = st.just("2030-01-31T23:59") | TEXTS


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(TEXTS | crons().map(lambda cron: cron[0]), TEXTS | rules(), STARTS, instants())
def test_any_text_is_refused_or_has_times_to_come(cron, rule, start, instant):
    zone, after_ms = instant
    for one in (schedule(cron=cron, zone=zone.key), schedule(rrule=rule, start=start, zone=zone.key)):
        try:
            check_when(one)
        except InvalidField as error:
            assert error.field in ("cron", "rrule", "start")
            continue
        found = list(islice(occurrences_after(one, after_ms), 5))
        assert found == sorted(set(found))
        assert all(at_ms > after_ms for at_ms in found)
