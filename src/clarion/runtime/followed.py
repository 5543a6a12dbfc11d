"""Caches by revision are current because directories are followed: refreshed in the background while they are asked."""

from collections.abc import Callable

from clarion.ports.directory import Directory


class Followed:
    """Whether a directory's readers need a background refresh. A base class of directories that other processes change."""

    def __init__(self) -> None:
        self._asked = False
        self._behind: Callable[[], None] = _nothing

    def was_asked(self) -> bool:
        """Return whether `revision` or `is_current` was called since the last call of this method."""
        asked, self._asked = self._asked, False
        return asked

    def when_behind(self, call: Callable[[], None]) -> None:
        """Set the function to call whenever `is_current` returns False."""
        self._behind = call


def _nothing() -> None:
    pass


async def catch_up(directory: Directory) -> None:
    """Refresh now if the background refresh has fallen behind. Called once a batch, before a cache by revision is
    used."""
    if not directory.is_current():
        await directory.refresh()
