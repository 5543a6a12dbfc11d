"""What a client sends ahead of the response to its request: held until that is complete, up to a bound."""

from typing import Final

from clarion.domain.limits_processes import PIPELINED_BYTES_MAX, PIPELINED_TOTAL_BYTES_MAX
from clarion.edge.byte_budget import ByteBudget

_ALL: Final = ByteBudget(PIPELINED_TOTAL_BYTES_MAX)
"""What all connections of the process hold."""


class SentAhead:
    """The bytes that one connection holds."""

    __slots__ = ("_at", "data")

    def __init__(self) -> None:
        self.data = b""
        """Empty when nothing is held."""
        self._at = 0

    def add(self, data: bytes, at: int) -> bool:
        """Hold data from a position on, after what is held. Returns False when it exceeds a bound: nothing is held then."""
        if self.data:
            before, before_at = self.take()
            data, at = before[before_at:] + data[at:], 0
        size = len(data)
        if size - at > PIPELINED_BYTES_MAX or not _ALL.allocate(size):
            return False
        self.data, self._at = data, at
        return True

    def take(self) -> tuple[bytes, int]:
        """Return the data and its position, and hold it no more."""
        data, at = self.data, self._at
        _ALL.free(len(data))
        self.data, self._at = b"", 0
        return data, at
