"""Which offsets of a consumed stream are done: frames finish in any order, a commit covers only an unbroken run."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple


class Pending:
    """One frame under way. `left` deliveries are unfinished, `mark` is the first entry of open intents that may contain
    them, and `numbers` are those of producers once the frame is done. `topic` is set where the frame's window does not
    imply it."""

    __slots__ = ("left", "mark", "numbers", "offset", "topic")

    def __init__(self, offset: int, left: int, mark: int, numbers: Mapping[str, int]) -> None:
        self.offset = offset
        self.left = left
        self.mark = mark
        self.numbers = numbers
        self.topic = ""


class Done(NamedTuple):
    """The offset up to which a topic is finished, with the numbers of producers there."""

    offset: int
    numbers: Mapping[str, int]


class FrameWindow:
    """The frames of one topic between the committed offset and the last one read."""

    def __init__(self, done: Done) -> None:
        self.done = done
        self.read = done.offset
        self.numbers = done.numbers
        self._frames: deque[Pending] = deque()

    def add(self, offset: int, count: int, mark: int, numbers: Mapping[str, int]) -> Pending:
        """Note that a frame of `count` deliveries was read, and return it; `numbers` include the frame."""
        pending = Pending(offset, count, mark, numbers)
        self.place(pending)
        return pending

    def place(self, pending: Pending) -> None:
        """Note that a frame was read whose deliveries may be under way already."""
        self._frames.append(pending)
        self.read = pending.offset
        self.numbers = pending.numbers

    def advance(self) -> bool:
        """Advance to the highest offset below which everything is finished; return whether that moved."""
        before = self.done
        while self._frames and self._frames[0].left == 0:
            frame = self._frames.popleft()
            self.done = Done(frame.offset, frame.numbers)
        return self.done is not before

    def mark(self) -> int | None:
        """Return the first entry of open intents that contains a delivery under way, or None when nothing is under
        way."""
        return self._frames[0].mark if self._frames else None
