"""The memory that the bodies of all requests under way may take together."""

from collections.abc import Iterator
from contextlib import contextmanager

from clarion.domain.errors import Overloaded


class Room:
    """So many bytes for everybody. What does not fit is refused, to come again, and costs nobody else anything."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.taken = 0

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """Hold what one request takes until it is over."""
        place = Place(self)
        try:
            yield place
        finally:
            self.taken -= place.held

    def take(self, size: int) -> None:
        """Take bytes. Raises `Overloaded` when so many are not free."""
        if self.taken + size > self._bytes_max:
            raise Overloaded("too many large requests are under way", retry_after_s=1)
        self.taken += size


class Place:
    """What one request holds of the room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.held = 0

    def take(self, size: int) -> None:
        """Take more. Raises `Overloaded`."""
        self._room.take(size)
        self.held += size
