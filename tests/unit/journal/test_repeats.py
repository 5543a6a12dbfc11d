"""Whatever a carrier repeats, each frame is taken once and in order, also by a consumer that resumes later."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.journal.repeats import advance_numbers, without_repeats
from clarion.ports.streams import StoredFrame


def frame(offset: int, producer: str, sequence: int) -> StoredFrame:
    return StoredFrame("t", 0, offset, 1, 0, f"{producer}{sequence}".encode(), producer, sequence)


@st.composite
def carried(draw) -> list[StoredFrame]:
    """Draw frames of two producers in order, each at least once, with runs of them repeated anywhere later."""
    heads = {"a": 0, "b": 0}
    found: list[StoredFrame] = []
    for _ in range(draw(st.integers(0, 15))):
        producer = draw(st.sampled_from("ab"))
        heads[producer] += 1
        found.append(frame(len(found) + 1, producer, heads[producer]))
        for again in draw(st.lists(st.sampled_from(found), max_size=3)):
            found.append(frame(len(found) + 1, again.producer, again.sequence))
    return found


@given(carried(), st.integers(0, 40))
def test_each_frame_is_taken_once_wherever_the_consumer_stopped(frames, cut):
    first, numbers = without_repeats(frames[:cut], {})
    rest, numbers = without_repeats(frames[cut:], numbers)
    for producer in "ab":
        sequences = [one.sequence for one in first + rest if one.producer == producer]
        assert sequences == list(range(1, len(sequences) + 1))
        assert numbers.get(producer, 0) == len(sequences)
    assert {one.payload for one in first + rest} == {one.payload for one in frames}


def test_frames_without_a_producer_are_all_taken_and_store_no_numbers():
    numbers = {"a": 3}
    frames = [frame(1, "", 1), frame(2, "", 1)]
    assert without_repeats(frames, numbers) == (frames, numbers)
    assert without_repeats(frames, numbers)[1] is numbers


def test_a_repeated_frame_gives_no_numbers():
    assert advance_numbers(frame(9, "a", 3), {"a": 3, "b": 7}) is None
    assert advance_numbers(frame(9, "a", 4), {"a": 3, "b": 7}) == {"a": 4, "b": 7}
