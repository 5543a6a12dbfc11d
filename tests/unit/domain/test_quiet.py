"""Quiet hours and caps as tenants write them: one form for equal ones, and faults by their place."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.cap import Cap, check_caps
from clarion.domain.channel import CHANNELS
from clarion.domain.errors import InvalidField
from clarion.domain.limits import CAPS_PER_CATEGORY_MAX, QUIET_WINDOWS_MAX
from clarion.domain.quiet import DISTURBING, QuietHours, QuietWindow, check_quiet

times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
windows = st.builds(QuietWindow, times, times, st.lists(st.integers(1, 7), max_size=9).map(tuple))


def read(body):
    return msgspec.convert(body, QuietHours)


@given(st.lists(windows, max_size=5), st.lists(st.sampled_from(CHANNELS), min_size=1), st.randoms())
def test_equal_quiet_hours_are_equal_values(several, channels, chance):
    once = check_quiet(QuietHours(tuple(several), tuple(channels)), "")
    chance.shuffle(several)
    chance.shuffle(channels)
    again = check_quiet(QuietHours(tuple(several), tuple(channels)), "")
    assert once == again == check_quiet(once, "")
    assert set(once.channels) == set(channels)
    assert {(w.start, w.end) for w in once.windows} == {(w.start, w.end) for w in several}


def test_usual_channels_and_all_days_need_no_words():
    quiet = check_quiet(read({"windows": [{"start": "22:00", "end": "08:00", "days": [7, 6, 5, 4, 3, 2, 1]}]}), "")
    assert quiet.channels == DISTURBING
    assert msgspec.json.encode(quiet) == b'{"windows":[{"start":"22:00","end":"08:00"}]}'
    assert msgspec.json.encode(check_quiet(read({}), "")) == b"{}"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"windows": [{"start": "7:00", "end": "08:00"}]}, "windows[0].start"),
        ({"windows": [{"start": "07:00", "end": "08:60"}]}, "windows[0].end"),
        ({"windows": [{"start": "07:00", "end": "08:00\n"}]}, "windows[0].end"),
        ({"windows": [{"start": "\u0660\u0667:00", "end": "08:00"}]}, "windows[0].start"),
        ({"windows": [{"start": "07:00", "end": "08:00"}, {"start": "07:00", "end": "08:00", "days": [0]}]},
         "windows[1].days"),
        ({"windows": [{"start": "07:00", "end": "08:00", "days": [8, 1]}]}, "windows[0].days"),
        ({"windows": [{"start": "07:00", "end": "08:00"}] * (QUIET_WINDOWS_MAX + 1)}, "windows"),
        ({"windows": [{"start": "07:00", "end": "08:00"}], "channels": []}, "channels"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_place(body, field):
    for path in ("", "quiet_hours"):
        with pytest.raises(InvalidField) as refused:
            check_quiet(read(body), path)
        assert refused.value.field == (f"{path}.{field}" if path else field)


def test_caps_are_stored_unchanged():
    caps = (Cap(3, "1d", "push"), Cap(1, "1m"), Cap(60, "1m", "sms"), Cap(5, "365d"))
    assert check_caps(caps, "caps") == caps


@pytest.mark.parametrize(
    ("caps", "field"),
    [
        ((Cap(0, "1d"),), "caps[0].limit"),
        ((Cap(1, "1d"), Cap(-1, "1d", "push")), "caps[1].limit"),
        ((Cap(61, "1m"),), "caps[0].limit"),
        ((Cap(1, "59s"),), "caps[0].per"),
        ((Cap(1, "366d"),), "caps[0].per"),
        ((Cap(1, "often"),), "caps[0].per"),
        ((Cap(1, "1d"), Cap(1, "1d")), "caps[1]"),
        (tuple(Cap(limit + 1, "1d") for limit in range(CAPS_PER_CATEGORY_MAX + 1)), "caps"),
    ],
)
def test_an_invalid_cap_is_refused(caps, field):
    with pytest.raises(InvalidField) as refused:
        check_caps(caps, "caps")
    assert refused.value.field == field
