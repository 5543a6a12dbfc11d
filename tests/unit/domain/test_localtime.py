"""Local times as instants: gaps give the instant after them, what happens twice gives the first."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.localtime import first_ms, local_time, zone_of

ZONES = sorted(available_timezones())


@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        ("America/New_York", "2026-03-08T02:30", "2026-03-08T07:00+00:00"),
        ("America/New_York", "2026-11-01T01:30", "2026-11-01T05:30+00:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30+00:00"),
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00+00:00"),
        ("Asia/Kolkata", "2026-06-01T08:00", "2026-06-01T02:30+00:00"),
    ],
)
def test_a_local_time_is_one_instant(zone, wall, instant):
    found_ms = first_ms(datetime.fromisoformat(wall), zone_of(zone))
    assert datetime.fromtimestamp(found_ms / 1000, UTC) == datetime.fromisoformat(instant)


@given(st.sampled_from(ZONES), st.datetimes(datetime(2021, 1, 1), datetime(2031, 1, 1)))
def test_the_clock_shows_that_time_or_later_and_never_did_before(zone, wall):
    wall = wall.replace(microsecond=0)
    found_ms = first_ms(wall, ZoneInfo(zone))
    assert local_time(found_ms, ZoneInfo(zone)) >= wall
    for back in (timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(hours=2)):
        assert local_time(found_ms - int(back.total_seconds()) * 1000, ZoneInfo(zone)) < wall


def test_the_first_zone_that_exists_counts():
    assert zone_of("", "Mars/Olympus", "Asia/Tokyo", "Europe/Rome").key == "Asia/Tokyo"
    assert zone_of("", "../../etc/passwd", "Mars").key == zone_of().key == "UTC"
