"""Guarantees of every carrier: order, no loss, reads of many streams in one call, and detectable repeats."""

import pytest

from clarion.journal.repeats import without_repeats
from clarion.ports.stage_store import Commit, GroupProgress, Lease, StageResult
from clarion.ports.streams import StoredFrame, StreamOffset
from tests.contract.backends import ONCE, REPEATS, TRAITS
from tests.contract.journals import START_MS, frame

PORT = "streams"


async def put(streams, *payloads: bytes, topic: str = "t", partition: int = 0) -> None:
    await streams.commit(StageResult(frames=[frame(topic, partition, payload) for payload in payloads]))


async def read(streams, topic: str = "t", partition: int = 0, after: int = 0) -> list[StoredFrame]:
    """Return all frames of a stream, read a few at a time."""
    found: list[StoredFrame] = []
    while more := (await streams.read_many([StreamOffset(topic, partition, found[-1].offset if found else after)], 2))[
        0
    ]:
        found += more
    return found


async def test_many_streams_are_read_in_one_call_each_from_its_place(streams):
    await put(streams, b"1", b"2")
    await put(streams, b"3", topic="u", partition=1)
    t, nothing, u = await streams.read_many([StreamOffset("t", 0), StreamOffset("t", 2), StreamOffset("u", 1)])
    assert [one.payload for one in without_repeats(t, {})[0]] == [b"1", b"2"]
    assert nothing == []
    assert [one.payload for one in without_repeats(u, {})[0]] == [b"3"]
    assert await streams.read_many([]) == []


async def test_offsets_have_no_gaps_and_what_is_new_comes_in_order(streams):
    for n in range(10):
        await put(streams, b"%d" % n)
    found = await read(streams)
    assert [one.offset for one in found] == list(range(1, len(found) + 1))
    new, _ = without_repeats(found, {})
    assert [one.payload for one in new] == [b"%d" % n for n in range(10)]


async def test_a_consumer_that_keeps_its_numbers_takes_each_frame_once(streams):
    """It stops and resumes after every frame from a commit: the offset and the sequence numbers."""
    taken: list[bytes] = []
    lease = await streams.acquire("g", 0, "me", 10_000)
    for n in range(12):
        await put(streams, b"%d" % n, b"%d+" % n)
        position = (await streams.positions("g", [0]))[0].get("t")
        ((stored, *_),) = await streams.read_many([StreamOffset("t", 0, position.offset if position else 0)])
        new, numbers = without_repeats([stored], position.numbers if position else {})
        taken += [one.payload for one in new]
        await done(streams, lease, stored.offset, dict(numbers))
    position = (await streams.positions("g", [0]))[0]["t"]
    rest, _ = without_repeats(await read(streams, after=position.offset), position.numbers)
    taken += [one.payload for one in rest]
    assert taken == [payload for n in range(12) for payload in (b"%d" % n, b"%d+" % n)]


async def done(streams, lease: Lease, offset: int, numbers: dict[str, int]) -> None:
    await streams.commit(StageResult(progress=GroupProgress(commits=[Commit(lease, "t", offset, numbers)])))


@pytest.mark.needs_trait(REPEATS)
async def test_a_repeated_frame_has_the_producer_and_sequence_it_had(streams):
    await put(streams, b"1", b"2", b"3")
    found = await read(streams)
    assert len(found) > 3
    assert {(one.producer, one.sequence) for one in found} == {(found[0].producer, n) for n in (1, 2, 3)}
    assert len({(one.sequence, one.payload) for one in found}) == 3
    assert found[0].producer


async def test_a_carrier_says_whether_it_repeats(streams, carrier):
    await put(streams, b"1", b"2")
    assert streams.streams_traits.repeats == (REPEATS in TRAITS[carrier]) != (ONCE in TRAITS[carrier])
    if not streams.streams_traits.repeats:
        assert [(one.producer, one.sequence) for one in await read(streams)] == [("", 1), ("", 2)]


async def test_the_heads_of_many_streams_are_asked_in_one_call(streams):
    await put(streams, b"1", b"2")
    heads = await streams.heads_of([("t", 0), ("t", 1)])
    assert heads == {("t", 0): (await read(streams))[-1].offset, ("t", 1): 0}


async def test_frames_are_found_by_their_time(streams, clock):
    for n in range(4):
        await put(streams, b"%d" % n)
        clock.pass_ms(10)
    found, _ = without_repeats(await streams.read_since("t", 0, START_MS + 20), {})
    assert [one.payload for one in found if one.appended_ms >= START_MS + 20][-2:] == [b"2", b"3"]
    assert all(one.appended_ms >= START_MS + 20 for one in found)


async def test_a_watch_over_a_stream_wakes_when_it_grows(streams):
    watch = streams.watch(["t"], [0])
    await put(streams, b"1")
    assert await watch.wait(1_000)
    await put(streams, b"elsewhere", topic="u")
    assert not await watch.wait(20)
