"""A bounded table of what names have used, which forgets those that have used the least."""

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

_KEPT_SHARE: Final = 1 / 2
"""Part of a full table that is kept, so that clearing it is rare."""

V = TypeVar("V", bound=Any)
"""The use of a name; a larger one is more."""


class BoundedTable(Generic[V]):
    """The use of each name. A full table forgets the names whose use is over, and if they are few, those with the least use:
    to be forgotten, a name would have to make half of a full table use more than itself."""

    def __init__(self, entries_max: int, is_over: Callable[[V, int], bool]) -> None:
        """`is_over` returns whether a use is over at a time, and can be forgotten without an effect."""
        self._entries_max = entries_max
        self._is_over = is_over
        self.entries: dict[Hashable, V] = {}

    def put(self, name: Hashable, use: V, now: int) -> None:
        """Store the use of a name."""
        entries = self.entries
        if len(entries) >= self._entries_max and name not in entries:
            self._forget(now)
        self.entries[name] = use

    def _forget(self, now: int) -> None:
        is_over = self._is_over
        entries = {name: use for name, use in self.entries.items() if not is_over(use, now)}
        surplus = len(entries) - int(self._entries_max * _KEPT_SHARE)
        if surplus > 0:
            least = sorted(entries.values())[surplus - 1]
            entries = {name: use for name, use in entries.items() if use > least}
        self.entries = entries
