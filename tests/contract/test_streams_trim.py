"""Guarantees of every carrier for old frames: they are deleted once every group has committed them, and no offset is reused."""

import pytest

from clarion.ports.stage_store import (
    Commit,
    GroupProgress,
    StageResult,
)
from tests.contract.backends import ONCE
from tests.contract.journals import (
    PARTITIONS,
    START_MS,
    frame,
    frames,
    held,
    offsets,
    payloads,
)
from tests.look import Look

PORT = "streams"


pytestmark = pytest.mark.needs_trait(ONCE)


async def test_only_what_is_old_and_committed_by_every_group_goes(streams, clock):
    fast, slow = await held(streams, "fast"), await held(streams, "slow")
    for n in range(6):
        await streams.commit(frames(b"%d" % n))
        clock.pass_ms(10)
    await streams.commit(frames(b"nobody reads this", topic="u"))
    await streams.commit(StageResult(progress=GroupProgress(commits=[Commit(fast, "t", 6), Commit(slow, "t", 2)])))
    assert await streams.trim(clock.now_ms() + 1) == 2
    assert await payloads(streams) == [b"2", b"3", b"4", b"5"]
    await streams.commit(StageResult(progress=GroupProgress(commits=[Commit(slow, "t", 6)])))
    assert await streams.trim(START_MS + 40) == 2
    assert await payloads(streams) == [b"4", b"5"]
    assert [stored.offset for stored in await Look(streams).since("t", 0, 0)] == [5, 6]
    assert await payloads(streams, "u") == [b"nobody reads this"]


async def test_offsets_continue_after_every_frame_is_trimmed(streams, clock):
    lease = await held(streams)
    await streams.commit(
        StageResult(frames=[frame(count=5)] * 3, progress=GroupProgress(commits=[Commit(lease, "t", 3)]))
    )
    assert await streams.trim(clock.now_ms() + 1) == 3
    assert (
        await Look(streams).head("t", 0),
        await Look(streams).read("t", 0, 0),
        await Look(streams).backlog("g"),
    ) == (3, [], 0)
    assert (await streams.commit(StageResult(frames=[frame(count=7)]))).offsets == [4]
    assert (await offsets(streams), await Look(streams).backlog("g")) == ([4], 7)
    assert await streams.trim(0) == 0


async def test_many_frames_of_many_streams_go_in_one_call(streams, clock):
    leases = [await held(streams, partition=p) for p in range(PARTITIONS)]
    for lease in leases:
        batch = [frame(partition=lease.partition) for _ in range(150)]
        await streams.commit(StageResult(frames=batch, progress=GroupProgress(commits=[Commit(lease, "t", 149)])))
    assert await streams.trim(clock.now_ms() + 1) == PARTITIONS * 149
    assert [await offsets(streams, partition=p) for p in range(PARTITIONS)] == [[150]] * PARTITIONS
