"""What counting audiences promises."""

import asyncio

import pytest

from clarion.domain.channel import Channel
from clarion.domain.errors import Overloaded
from clarion.domain.limits_deciding import AUDIENCE_COUNT_MS_MAX, AUDIENCE_COUNTS_MAX
from clarion.domain.segment import Filter
from tests.contract.controls import House
from tests.contract.segments import LOOKED_AT, USERS, T, settle_in

PORT = "control"
THIRDS = Filter(topic="thirds")
PUSH = Filter(reachable=Channel.PUSH)


@pytest.fixture
async def house(engine, empty, tmp_path, bound):
    """So few users are looked at at once that they make several pages."""
    bound("SEGMENT_SCAN_USERS_MAX", LOOKED_AT)
    house = House.copy_of(empty, tmp_path, engine)
    await settle_in(house)
    yield house
    await house.close()


async def test_counting_ends_when_its_time_is_over_and_says_so(house, monkeypatch):
    slow = iter(range(0, 10**9, AUDIENCE_COUNT_MS_MAX // 2))
    monkeypatch.setattr(house.clock, "monotonic_ms", lambda: next(slow))
    told = await house.control.audiences.count(T, None, Filter(reachable=Channel.INAPP), sample=2)
    assert 0 < told.users < USERS and told.users % LOOKED_AT == 0
    assert (told.exact, told.sample) == (False, ["u0", "u1"])


async def test_counting_ends_when_there_are_more_than_it_matters(house):
    count = house.control.audiences.count
    exact = [await count(T, topic, THIRDS, most=1_000) for topic in (None, "thirds")]
    assert [(one.users, one.exact) for one in exact] == [(14, True)] * 2
    assert (await count(T, None, None)).users == USERS
    assert (await count(T, "thirds", None)).users == 14
    many = await count(T, None, None, most=10)
    assert (many.users, many.exact) == (2 * LOOKED_AT, False)


async def test_only_so_many_audiences_are_counted_at_a_time(house):
    counts = [house.control.audiences.count(T, None, PUSH) for _ in range(AUDIENCE_COUNTS_MAX + 1)]
    told = await asyncio.gather(*counts, return_exceptions=True)
    assert [type(one) for one in told].count(Overloaded) == 1
    assert (await house.control.audiences.count(T, None, PUSH)).users == USERS // 2
