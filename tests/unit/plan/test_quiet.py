"""Quiet hours against an oracle that follows the local clock minute by minute, in every time zone."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.quiet import QuietHours, QuietWindow
from clarion.plan.rules.quiet import DAY_MS, FOREVER_MS, SEARCH_DAYS, quiet_until

MINUTE_MS = 60_000
FIRST_MS = int(datetime(2021, 1, 1, tzinfo=UTC).timestamp()) * 1000
LAST_MS = int(datetime(2031, 1, 1, tzinfo=UTC).timestamp()) * 1000
ZONES = sorted(available_timezones())
NIGHT = QuietWindow("22:00", "08:00")


def of(*windows):
    return QuietHours(windows)


def wall(at_ms, zone):
    return datetime.fromtimestamp(at_ms // 1000, ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def at(text, zone="UTC", fold=0):
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1000


def in_window(shown, window):
    """Return whether a local time lies in a window that started the same day, or a day before."""
    (start, end) = (timedelta(hours=int(t[:2]), minutes=int(t[3:])) for t in (window.start, window.end))
    end += timedelta(days=end <= start)
    midnight = shown.replace(hour=0, minute=0, second=0, microsecond=0)
    return any(
        day + start <= shown < day + end and (not window.days or day.isoweekday() in window.days)
        for day in (midnight, midnight - timedelta(days=1))
    )


def oracle(quiet, zone, now_ms):
    """Return the first minute from now on, within the search, that is not quiet; `now_ms` is a whole minute.

    The latest time that the clock has shown so far decides, so what it shows a second time starts and ends nothing. No
    change of these years is larger than the three hours looked back.
    """
    latest = max(wall(now_ms - back * MINUTE_MS, zone) for back in range(3 * 60))
    for minute_ms in range(now_ms, now_ms + SEARCH_DAYS * DAY_MS, MINUTE_MS):
        latest = max(latest, wall(minute_ms, zone))
        if not any(in_window(latest, window) for window in quiet.windows):
            return minute_ms
    return now_ms + SEARCH_DAYS * DAY_MS


def release(quiet, zone, now_ms):
    until_ms = quiet_until(quiet, zone, "push", now_ms).until_ms
    return now_ms if until_ms is None else until_ms


@cache
def changes(zone):
    """Return the instants in the ten years at which the clocks of a zone are changed."""

    def offset(at_ms):
        return ZoneInfo(zone).utcoffset(datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(zone)))

    found = []
    for low, high in pairwise(range(FIRST_MS, LAST_MS, DAY_MS)):
        if offset(low) != offset(high):
            while high - low > MINUTE_MS:
                middle = (low + high) // 2 // MINUTE_MS * MINUTE_MS
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            found.append(high)
    return tuple(found)


times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59) | st.sampled_from([0, 30]))
windows = st.builds(QuietWindow, times, times, st.lists(st.integers(1, 7), unique=True, max_size=3).map(tuple))
hours = st.lists(windows, min_size=1, max_size=4).map(lambda several: of(*several))
minutes = st.integers(FIRST_MS // MINUTE_MS, LAST_MS // MINUTE_MS).map(lambda number: number * MINUTE_MS)


@st.composite
def moments(draw):
    """Draw a zone and an instant, half of them within a day of a change of the clocks."""
    zone = draw(st.sampled_from(ZONES))
    changed = changes(zone)
    if not changed or draw(st.booleans()):
        return zone, draw(minutes)
    return zone, draw(st.sampled_from(changed)) + draw(st.integers(-1_500, 1_500)) * MINUTE_MS


@pytest.mark.slow
@given(hours, moments())
def test_the_release_is_the_first_allowed_minute(quiet, moment):
    zone, now_ms = moment
    until_ms = release(quiet, zone, now_ms)
    assert until_ms == oracle(quiet, zone, now_ms)
    if until_ms < now_ms + SEARCH_DAYS * DAY_MS:
        assert quiet_until(quiet, zone, "push", until_ms).until_ms is None


@given(hours, moments(), st.integers(0, 3 * DAY_MS))
def test_later_is_never_released_earlier(quiet, moment, more_ms):
    zone, now_ms = moment
    assert now_ms <= release(quiet, zone, now_ms) <= release(quiet, zone, now_ms + more_ms)


@given(hours, moments(), st.floats(0, 1, exclude_max=True))
def test_an_answer_holds_until_its_expiry(quiet, moment, share):
    zone, now_ms = moment
    result = quiet_until(quiet, zone, "push", now_ms)
    assert now_ms < result.valid_until_ms
    again = quiet_until(quiet, zone, "push", now_ms + int((result.valid_until_ms - now_ms) * share))
    assert (result.until_ms is None) == (again.until_ms is None)
    if result.until_ms == result.valid_until_ms:
        assert again == result


@pytest.mark.slow
@pytest.mark.nightly
def test_around_every_change_of_the_clocks_in_every_zone():
    """Boundaries before, in and after each gap and fold, seen from before, at and after the change."""
    seen = set()
    for zone in ZONES:
        for change_ms in changes(zone):
            before, after = wall(change_ms - MINUTE_MS, zone), wall(change_ms, zone)
            if (change_ms, before, after) in seen:
                continue
            seen.add((change_ms, before, after))
            middle = min(before, after) + abs(after - before) / 2
            around = [f"{t:%H:%M}" for t in (before - timedelta(minutes=40), middle, after + timedelta(minutes=70))]
            for start, end in ((around[0], around[1]), (around[1], around[2]), (around[0], around[2])):
                quiet = of(QuietWindow(start, end))
                for now_ms in (change_ms - 30 * MINUTE_MS, change_ms, change_ms + 30 * MINUTE_MS):
                    assert release(quiet, zone, now_ms) == oracle(quiet, zone, now_ms), (zone, change_ms, start, end)
    assert len(seen) > 500


NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("start", "end", "now", "until"),
    [
        # 2026-03-08: 02:00-03:00 is left out.
        ("22:00", "02:30", at("2026-03-08T01:59", NEW_YORK), at("2026-03-08T03:00", NEW_YORK)),
        ("02:30", "06:00", at("2026-03-08T01:59", NEW_YORK), None),
        ("02:30", "06:00", at("2026-03-08T03:00", NEW_YORK), at("2026-03-08T06:00", NEW_YORK)),
        ("02:10", "02:50", at("2026-03-08T03:00", NEW_YORK), None),
        # 2026-11-01: 01:00-02:00 happens twice.
        ("22:00", "01:30", at("2026-11-01T01:29", NEW_YORK), at("2026-11-01T01:30", NEW_YORK)),
        ("22:00", "01:30", at("2026-11-01T01:10", NEW_YORK, fold=1), None),
        ("01:30", "03:00", at("2026-11-01T01:10", NEW_YORK, fold=1), at("2026-11-01T03:00", NEW_YORK)),
        ("22:00", "08:00", at("2026-10-31T23:00", NEW_YORK), at("2026-11-01T08:00", NEW_YORK)),
    ],
)
def test_gaps_end_at_the_next_minute_and_repeated_times_count_once(start, end, now, until):
    assert quiet_until(of(QuietWindow(start, end)), NEW_YORK, "push", now).until_ms == until


def test_a_night_lasts_until_morning_where_the_person_lives():
    now_ms = at("2026-06-10T18:00")
    assert quiet_until(of(NIGHT), "Asia/Kolkata", "sms", now_ms).until_ms == at("2026-06-11T08:00", "Asia/Kolkata")
    assert quiet_until(of(NIGHT), "Europe/Rome", "sms", now_ms) == (None, at("2026-06-10T22:00", "Europe/Rome"))


def test_windows_belong_to_the_day_they_start_on():
    weekend = of(QuietWindow("22:00", "10:00", (5, 6)))
    friday, sunday = at("2026-06-12T23:00"), at("2026-06-14T09:00")
    assert quiet_until(weekend, "UTC", "push", friday).until_ms == at("2026-06-13T10:00")
    assert quiet_until(weekend, "UTC", "push", sunday).until_ms == at("2026-06-14T10:00")
    assert quiet_until(weekend, "UTC", "push", at("2026-06-14T23:00")).until_ms is None


def test_adjoining_and_overlapping_windows_are_one():
    evening, night, nap = QuietWindow("20:00", "23:00"), QuietWindow("23:00", "06:00"), QuietWindow("05:00", "07:00")
    assert quiet_until(of(nap, night, evening), "UTC", "push", at("2026-06-10T20:30")).until_ms == at(
        "2026-06-11T07:00"
    )


def test_endless_quiet_hours_are_checked_again_after_the_search():
    always, now_ms = of(QuietWindow("00:00", "00:00")), at("2026-06-10T20:30")
    assert quiet_until(always, "UTC", "push", now_ms) == (now_ms + SEARCH_DAYS * DAY_MS, at("2026-06-11T00:00"))


def test_other_channels_and_no_windows_are_never_quiet():
    now_ms = at("2026-06-10T23:00")
    assert quiet_until(of(), "UTC", "push", now_ms) == (None, FOREVER_MS)
    assert quiet_until(of(NIGHT), "UTC", "inapp", now_ms) == (None, FOREVER_MS)
    assert quiet_until(QuietHours((NIGHT,), ("inapp",)), "UTC", "inapp", now_ms).until_ms is not None


def test_an_unknown_zone_is_utc():
    now_ms = at("2026-06-10T23:00")
    assert quiet_until(of(NIGHT), "Mars/Olympus", "push", now_ms) == quiet_until(of(NIGHT), "UTC", "push", now_ms)
