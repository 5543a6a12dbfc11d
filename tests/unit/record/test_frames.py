"""Decoding of `outcomes` frames before they are folded, and the decision over values alone."""

from clarion.domain.delivery_state import State
from clarion.ports.streams import StoredFrame
from clarion.record.columns import FoldFacts, decide
from clarion.record.frames import FrameIds, decoded, touched
from tests.contract import ledgers as world


def newer(stored: StoredFrame) -> StoredFrame:
    payload = world.of_newer_build(stored.payload)
    return StoredFrame(stored.topic, stored.partition, stored.offset, stored.count, stored.appended_ms, payload)


def damaged(stored: StoredFrame) -> StoredFrame:
    payload = stored.payload[:-1] + b"?"
    return StoredFrame(stored.topic, stored.partition, stored.offset, stored.count, stored.appended_ms, payload)


def test_frames_are_decoded_up_to_the_first_that_this_build_cannot_read():
    first, second, third = world.stored([world.planned(0), world.planned(1), world.planned(2)], 5)
    said = decoded([first, newer(second), third])
    assert said.events == [world.planned(0)]
    assert (said.offset, said.size, said.damaged) == (5, 1, [])
    assert said.unknown.startswith("frame 6: ")


def test_a_damaged_frame_counts_as_read_and_is_reported():
    first, second = world.stored([world.planned(0), world.planned(1)], 5)
    said = decoded([damaged(first), second])
    assert said.events == [world.planned(1)]
    assert (said.offset, said.size, said.unknown) == (6, 2, "")
    assert [damage.offset for damage in said.damaged] == [5]


def test_frames_folded_before_are_skipped():
    stored = [frame(offset, producer, sequence) for offset, producer, sequence in
              [(1, "a", 1), (2, "a", 2), (3, "a", 1), (4, "b", 1), (5, "a", 2)]]  # fmt: skip
    said = decoded(stored)
    assert (len(said.events), said.offset, said.size, said.numbers) == (3, 5, 3, {"a": 2, "b": 1})
    again = decoded([frame(6, "b", 1), frame(7, "a", 2)], said.numbers)
    assert (again.events, again.offset, again.size, again.numbers) == ([], 7, 0, {"a": 2, "b": 1})


def frame(offset: int, producer: str, sequence: int) -> StoredFrame:
    (one,) = world.stored([world.planned(0)], offset)
    return StoredFrame(one.topic, one.partition, offset, one.count, one.appended_ms, one.payload, producer, sequence)


def test_nothing_was_read_of_no_frame():
    assert decoded([])[:5] == ([], [], None, 0, "")
    assert decoded([newer(*world.stored([world.planned(0)]))]).offset is None


def test_touched_are_deliveries_and_chunks_by_what_the_frame_is_about():
    frames = [world.planned(0), world.intent(1), world.replayed(2), world.receipt(3, "delivered")]
    assert touched(frames) == FrameIds(set(world.SINGLE_IDS), set(), {world.SINGLE_IDS[0]})
    assert touched([world.chunk()]) == FrameIds(set(), {world.CHUNK}, {world.CHUNK})
    assert touched([world.chunk_intent(0, 2), world.chunk_attempted(0, b"x")]) == FrameIds(set(), {world.CHUNK})
    of_chunk = world.receipt(world.SINGLES, "delivered")
    assert touched([of_chunk]) == FrameIds({world.CHUNK_IDS[0]}, {world.CHUNK})
    assert touched([world.cancelled(0), world.seen(0)]) == FrameIds(set(), set())


def test_the_decision_needs_nothing_but_its_facts():
    changes = decide([world.planned(0), world.intent(0)], FoldFacts({}, {}))
    assert changes.deliveries[world.SINGLE_IDS[0]].state is State.SENDING
    again = decide([world.intent(1)], FoldFacts({}, {}))
    assert not again.deliveries, "an unknown delivery changes nothing"
