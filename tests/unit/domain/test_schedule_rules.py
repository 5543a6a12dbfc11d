"""The rules that a schedule may have; no rule takes long to evaluate, hostile ones included."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from clarion.domain.errors import InvalidField
from clarion.domain.limits import CRON_CHARS_MAX, RECURRENCE_COUNT_MAX, RRULE_CHARS_MAX
from clarion.domain.occurrences import check_when, next_after
from clarion.domain.schedule import Schedule, ScheduleTo

NOW_MS = int(datetime(2026, 11, 21, 7, tzinfo=UTC).timestamp() * 1000)
START = "2025-03-31T09:30"
CPU_S_MAX = 0.25
"""Far over the 30 ms the worst of them took, far under what a library takes that walks the whole calendar."""


def schedule(**when):
    return Schedule(ScheduleTo(all=True), template="hello", **when)


def times(one, number=3):
    found, at_ms = [], NOW_MS
    while len(found) < number and (at_ms := next_after(one, at_ms)) is not None:
        found.append(f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M}")
    return found


def refused(**when):
    with pytest.raises(InvalidField) as error:
        check_when(schedule(**when))
    return error.value.field


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"cron": "0 9 * * MON"}, ["2026-11-23T09:00", "2026-11-30T09:00", "2026-12-07T09:00"]),
        ({"cron": "30 8 L * *", "zone": "Asia/Kolkata"}, ["2026-11-30T03:00", "2026-12-31T03:00", "2027-01-31T03:00"]),
        ({"cron": "0 9 * * *", "local_time": True}, ["2026-11-21T19:00", "2026-11-22T19:00", "2026-11-23T19:00"]),
        # The clock jumps forward from 02:00 to 03:00, and back from 03:00 to 02:00.
        ({"cron": "30 2 28,29 3 *", "zone": "Europe/Rome"}, ["2027-03-28T01:00", "2027-03-29T00:30", "2028-03-28T00:30"]),
        ({"cron": "30 2 31 10 *", "zone": "Europe/Rome"}, ["2027-10-31T00:30", "2028-10-31T01:30", "2029-10-31T01:30"]),
        ({"rrule": "FREQ=MONTHLY;BYDAY=-1FR"}, ["2026-11-27T09:30", "2026-12-25T09:30", "2027-01-29T09:30"]),
        ({"rrule": "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"}, ["2028-02-29T09:30", "2032-02-29T09:30", "2036-02-29T09:30"]),
        ({"rrule": "FREQ=DAILY;UNTIL=20261122"}, ["2026-11-21T09:30", "2026-11-22T09:30"]),
        ({"rrule": "FREQ=DAILY;UNTIL=20261122T093000"}, ["2026-11-21T09:30", "2026-11-22T09:30"]),
        ({"rrule": "FREQ=DAILY;UNTIL=20261122T083000Z", "zone": "Europe/Rome"}, ["2026-11-21T08:30", "2026-11-22T08:30"]),
        ({"rrule": "FREQ=DAILY;COUNT=602"}, ["2026-11-21T09:30", "2026-11-22T09:30"]),
        ({"rrule": "FREQ=DAILY;COUNT=600"}, []),
    ],
)  # fmt: skip
def test_times(when, expected):
    one = schedule(**({"start": START} if "rrule" in when else {}), **when)
    check_when(one)
    assert times(one) == expected


def test_the_start_is_the_first_time_that_can_be():
    one = schedule(rrule="FREQ=DAILY", start="2026-12-24T18:00", zone="America/New_York")
    assert times(one, 2) == ["2026-12-24T23:00", "2026-12-25T23:00"]


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "@daily",
        "0 0 30 2 *", "0 0 1 JANUARY *", "5-1 * * * *", "*/0 * * * *", "1" * 5_000 + " * * * *", "a b c d e",
        f"{'1,' * CRON_CHARS_MAX}1 * * * *", "\u00b2 * * * *", "* * * * 5#6", "* * * * \u00b2L", "*/1/1 * * * *",
    ],
)  # fmt: skip
def test_invalid_cron_expressions(text):
    assert refused(cron=text) == "cron"


@pytest.mark.parametrize(
    "text",
    [
        "", "FREQ=SECONDLY", "FREQ=NEVER", "INTERVAL=2", "FREQ=DAILY;FREQ=DAILY", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;INTERVAL=-1", "FREQ=DAILY;INTERVAL=99999999", f"FREQ=DAILY;COUNT={RECURRENCE_COUNT_MAX + 1}",
        "FREQ=DAILY;INTERVAL=" + "9" * 400, "FREQ=DAILY;BYSECOND=5", "FREQ=YEARLY;BYWEEKNO=20", "FREQ=YEARLY;BYEASTER=0",
        "FREQ=DAILY;COUNT=2;UNTIL=20300101", "FREQ=DAILY;UNTIL=tomorrow", "FREQ=DAILY;UNTIL=00010101T000000Z;X",
        "FREQ=DAILY;BYMONTH=13", "FREQ=DAILY;BYMONTH=0", "FREQ=MONTHLY;BYMONTHDAY=0", "FREQ=MONTHLY;BYMONTHDAY=-32",
        "FREQ=DAILY;BYHOUR=24", "FREQ=DAILY;BYHOUR=-1", "FREQ=DAILY;BYMINUTE=60", "FREQ=DAILY;BYMINUTE=", "FREQ=DAILY;BYDAY=XX",
        "FREQ=DAILY;BYDAY=1MO", "FREQ=WEEKLY;BYDAY=-1MO", "FREQ=MONTHLY;BYDAY=0MO", "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=YEARLY;BYDAY=54MO", "FREQ=WEEKLY;BYMONTHDAY=1", "FREQ=MONTHLY;BYYEARDAY=1", "FREQ=HOURLY;BYMINUTE=1;BYSETPOS=1",
        "FREQ=YEARLY;BYSETPOS=1", "FREQ=YEARLY;BYDAY=MO;BYSETPOS=367", "FREQ=DAILY;WKST=1", "FREQ=DAILY\nRDATE:20260101",
        f"FREQ=DAILY;BYHOUR={'1,' * RRULE_CHARS_MAX}1", "FREQ=DAILY;BYHOUR=\u0663",
    ],
)  # fmt: skip
def test_invalid_rrules(text):
    assert refused(rrule=text, start=START) == "rrule"


@pytest.mark.parametrize(
    "start", [None, "", "soon", "2026-01-01T09:00Z", "2026-01-01T09:00+01:00", "2026-01-01T09:00:30", "1999-12-31", "2100-01-01"]
)  # fmt: skip
def test_invalid_starts(start):
    assert refused(rrule="FREQ=DAILY", start=start) == "start"


def test_one_rule_and_only_one():
    assert refused() == "cron"
    assert refused(cron="0 9 * * *", rrule="FREQ=DAILY", start=START) == "cron"
    assert refused(cron="0 9 * * *", start=START) == "start"


@pytest.mark.parametrize(
    "when",
    [
        {"cron": "0 0 */31 * MON#2"},
        {"cron": "59 23 29 2 MON#1,TUE#1"},
        {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"},
        {"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"},
        {"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=1000", "start": "2000-01-01T00:00"},
        {"rrule": "FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1"},
        {"rrule": "FREQ=HOURLY;INTERVAL=24;BYHOUR=5"},
        {"rrule": "FREQ=HOURLY;INTERVAL=7;BYHOUR=9;BYDAY=TU;COUNT=3", "start": "2000-01-03T09:30"},
        {"rrule": "FREQ=MINUTELY;INTERVAL=7;BYHOUR=9;BYMINUTE=0;BYDAY=TU"},
        {"rrule": f"FREQ=MINUTELY;INTERVAL=1440;BYHOUR={','.join(str(hour) for hour in range(24) if hour != 9)}"},
        {"rrule": "FREQ=MINUTELY;INTERVAL=999983;BYMONTH=2"},
        {"rrule": "FREQ=MINUTELY;BYYEARDAY=366;BYMONTH=1"},
        {"rrule": "FREQ=MINUTELY", "start": "2000-01-01T00:00"},
        {"rrule": "FREQ=MINUTELY;COUNT=1000", "start": "2000-01-01T00:00"},
        {"rrule": "FREQ=YEARLY;BYYEARDAY=366;COUNT=1000", "start": "2000-01-01T00:00"},
        {"rrule": f"FREQ=YEARLY;BYHOUR={','.join(map(str, range(24)))};BYMINUTE={','.join(map(str, range(60)))};BYSETPOS=-1"},
        {"rrule": "FREQ=YEARLY;INTERVAL=1000000"},
        {"rrule": "FREQ=MONTHLY;INTERVAL=1000000", "start": "2099-12-31T00:00"},
    ],
)  # fmt: skip
def test_no_rule_takes_long(when):
    one = schedule(**({"start": START} if "rrule" in when else {}) | when)
    check_when(one)
    began_s = time.process_time()
    next_after(one, NOW_MS)
    assert time.process_time() - began_s < CPU_S_MAX


def test_every_minute_skips_the_repeated_hour():
    one = schedule(cron="* * * * *", zone="Europe/Rome")
    second_ms = int(datetime(2026, 10, 25, 1, 0, tzinfo=UTC).timestamp() * 1000)  # 02:00 for the second time
    assert next_after(one, second_ms - 120_000) == second_ms - 60_000
    later_ms = second_ms + timedelta(hours=1) // timedelta(milliseconds=1)
    for after_ms in (second_ms - 60_000, second_ms, second_ms + 90_000, later_ms - 1):
        assert next_after(one, after_ms) == later_ms
