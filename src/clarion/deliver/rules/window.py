"""Which offsets of a consumed stream are done: frames finish in any order, a commit covers only an unbroken run."""

from collections import deque


class Pending:
    """One frame under way. `mark` is the outcomes offset before its first intent; `left` deliveries are unfinished."""

    __slots__ = ("left", "mark", "offset")

    def __init__(self, offset: int, left: int, mark: int) -> None:
        self.offset = offset
        self.left = left
        self.mark = mark


class Window:
    """The frames of one topic between the committed offset and the last one read."""

    def __init__(self, committed: int) -> None:
        self.committed = committed
        self.read = committed
        self._frames: deque[Pending] = deque()

    def add(self, offset: int, count: int, mark: int) -> Pending:
        """Note that a frame of `count` deliveries was read."""
        pending = Pending(offset, count, mark)
        self._frames.append(pending)
        self.read = offset
        return pending

    def advance(self) -> int:
        """Return the highest offset below which everything is finished."""
        while self._frames and self._frames[0].left == 0:
            self.committed = self._frames.popleft().offset
        return self.committed

    def mark(self) -> int | None:
        """Return the outcomes offset recovery would have to read from, or None when nothing is under way."""
        return self._frames[0].mark if self._frames else None
