"""Guarantees of counting audiences."""

import asyncio

import pytest

from clarion.domain.channel import Channel
from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import AUDIENCE_COUNT_MS_MAX, AUDIENCE_COUNTS_MAX
from clarion.domain.segment import Filter
from tests.contract.controls import ControlPlane
from tests.contract.segments import LOOKED_AT, USERS, T, settle_in

PORT = "control"
THIRDS = Filter(topic="thirds")
PUSH = Filter(reachable=Channel.PUSH)


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path, bound):
    """Return a control plane with a page size so small that the users fill several pages."""
    bound("SEGMENT_SCAN_USERS_MAX", LOOKED_AT)
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await settle_in(control_plane)
    yield control_plane
    await control_plane.close()


async def test_counting_ends_when_its_time_is_over_and_says_so(control_plane, monkeypatch):
    slow = iter(range(0, 10**9, AUDIENCE_COUNT_MS_MAX // 2))
    monkeypatch.setattr(control_plane.clock, "monotonic_ms", lambda: next(slow))
    result = await control_plane.control.audiences.count(T, None, Filter(reachable=Channel.INAPP), sample=2)
    assert 0 < result.users < USERS and result.users % LOOKED_AT == 0
    assert (result.exact, result.sample) == (False, ["u0", "u1"])


async def test_counting_ends_when_there_are_more_than_it_matters(control_plane):
    count = control_plane.control.audiences.count
    exact = [await count(T, topic, THIRDS, most=1_000) for topic in (None, "thirds")]
    assert [(one.users, one.exact) for one in exact] == [(14, True)] * 2
    assert (await count(T, None, None)).users == USERS
    assert (await count(T, "thirds", None)).users == 14
    many = await count(T, None, None, most=10)
    assert (many.users, many.exact) == (2 * LOOKED_AT, False)


async def test_a_bounded_number_of_audiences_are_counted_at_a_time(control_plane):
    counts = [control_plane.control.audiences.count(T, None, PUSH) for _ in range(AUDIENCE_COUNTS_MAX + 1)]
    result = await asyncio.gather(*counts, return_exceptions=True)
    assert [type(one) for one in result].count(Overloaded) == 1
    assert (await control_plane.control.audiences.count(T, None, PUSH)).users == USERS // 2
