"""Dropping frames that a carrier repeats, by numbers kept beside a consumer's position.

A stream carries the frames of each producer in the order of their sequence, each at least once. What does not stand above
the highest sequence taken so far came before.
"""

from collections.abc import Iterable, Mapping

from clarion.ports.streams import StoredFrame


def taken(frame: StoredFrame, numbers: Mapping[str, int]) -> Mapping[str, int] | None:
    """Return the numbers of a stream once this frame is taken, or None when it was taken before. A frame without a
    producer never repeats and leaves the numbers as they are."""
    if not frame.producer:
        return numbers
    if frame.sequence <= numbers.get(frame.producer, 0):
        return None
    return {**numbers, frame.producer: frame.sequence}


def fresh(read: Iterable[StoredFrame], numbers: Mapping[str, int]) -> tuple[list[StoredFrame], Mapping[str, int]]:
    """Return the frames of one stream that were not taken before, in order, and the numbers once they are taken."""
    new: list[StoredFrame] = []
    for frame in read:
        after = taken(frame, numbers)
        if after is not None:
            new.append(frame)
            numbers = after
    return new, numbers
