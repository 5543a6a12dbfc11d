"""Streams open in two processes: no frame is duplicated or missed."""

import asyncio

import pytest

from clarion.ports.stage_store import (
    Commit,
    GroupProgress,
    StageResult,
)
from tests.contract.backends import SHARED
from tests.contract.journals import (
    START_MS,
    frame,
    frames,
    held,
)
from tests.look import Look

PORT = "streams"


pytestmark = pytest.mark.needs_trait(SHARED)


@pytest.fixture
def pair(open_streams):
    return open_streams(), open_streams()


async def test_each_sees_what_the_other_appended_at_once(pair):
    one, two = pair
    await one.commit(frames(b"1"))
    await two.commit(frames(b"2"))
    await one.commit(frames(b"3"))
    assert await Look(one).read("t", 0, 0) == await Look(two).read("t", 0, 0)
    assert [stored.payload for stored in await Look(two).read("t", 0, 0)] == [b"1", b"2", b"3"]


async def test_each_is_woken_by_the_other(pair):
    one, two = pair
    watches = [two.watch() for _ in range(20)]
    waits = asyncio.gather(*(watch.wait(10_000) for watch in watches))
    await asyncio.sleep(0)
    await one.commit(frames(b"1"))
    assert await waits == [True] * 20


async def test_an_append_of_the_other_between_read_and_wait_is_not_missed(pair):
    one, two = pair
    watch = two.watch()
    for n in range(50):
        assert len(await Look(two).read("t", 0, n)) == 0
        await one.commit(frames(b"x"))
        while not (await Look(two).read("t", 0, n)):
            assert await watch.wait(10_000)


async def test_concurrent_appends_of_both_leave_no_gap(pair):
    batches = [pair[n % 2].commit(StageResult(frames=[frame(), frame("u")])) for n in range(200)]
    acknowledged = await asyncio.gather(*batches)
    assert sorted(one.offsets[0] for one in acknowledged) == list(range(1, 201))
    assert [f.offset for f in await Look(pair[0]).read("u", 0, 0, 1_000)] == list(range(1, 201))


async def test_trimming_under_a_reader_disturbs_nobody(pair, clock):
    one, two = pair
    lease = await held(one)
    await one.commit(
        StageResult(frames=[frame() for _ in range(400)], progress=GroupProgress(commits=[Commit(lease, "t", 300)]))
    )
    clock.pass_ms(1)
    assert sum(await asyncio.gather(one.trim(clock.now_ms()), two.trim(clock.now_ms()))) == 300
    assert [f.offset for f in await Look(two).since("t", 0, START_MS, 1_000)] == list(range(301, 401))
