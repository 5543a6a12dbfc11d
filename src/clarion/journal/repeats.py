"""Drops frames that a carrier repeats, by sequence numbers stored with a consumer's position.

A stream carries the frames of each producer in the order of their sequence, each at least once. A frame whose sequence
is not above the highest one processed so far is a repeat.
"""

from collections.abc import Iterable, Mapping

from clarion.ports.streams import StoredFrame


def advance_numbers(frame: StoredFrame, numbers: Mapping[str, int]) -> Mapping[str, int] | None:
    """Return the numbers of a stream after this frame, or None when the frame is a repeat. A frame without a producer
    never repeats and leaves the numbers unchanged."""
    if not frame.producer:
        return numbers
    if frame.sequence <= numbers.get(frame.producer, 0):
        return None
    return {**numbers, frame.producer: frame.sequence}


def without_repeats(
    read: Iterable[StoredFrame], numbers: Mapping[str, int]
) -> tuple[list[StoredFrame], Mapping[str, int]]:
    """Return the frames of one stream without repeats, in order, and the stream's numbers after them."""
    new: list[StoredFrame] = []
    for frame in read:
        after = advance_numbers(frame, numbers)
        if after is not None:
            new.append(frame)
            numbers = after
    return new, numbers
