"""Notifications taken back: what was cancelled since a partition last looked, and whether one that starts late was."""

from typing import Final

from clarion.domain.limits_deciding import CANCELLED_KEPT_MAX
from clarion.plan.workflow.cells import Cells
from clarion.ports.journal import Journal

_LOOKED_CELL: Final = b"c"
"""The partition's own note of how far it has looked, written with what it did about it."""
_SEQUENCE_BYTES: Final = 8


class Cancelled:
    """What one process knows of cancellations."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._sequence = 0
        self._kept: dict[bytes, None] = {}

    def __contains__(self, notification_id: bytes) -> bool:
        return notification_id in self._kept

    def broadcast(self, broadcast: bytes) -> bool:
        """Return whether a broadcast was cancelled. It has started more instances than it could be told of, so each asks
        when it is about to go on."""
        cursor = self._journal.cursor(broadcast) if broadcast else None
        return cursor is not None and cursor.status == "cancelled"

    def refresh(self) -> None:
        """Learn what was cancelled since the last call; the oldest are forgotten beyond `CANCELLED_KEPT_MAX`."""
        while True:
            self._sequence, subjects = self._journal.cancelled_since(self._sequence)
            self._kept.update(dict.fromkeys(subjects))
            if not subjects:
                break
        while len(self._kept) > CANCELLED_KEPT_MAX:
            del self._kept[next(iter(self._kept))]

    def look(self, cells: Cells) -> list[bytes]:
        """Return what was cancelled since the partition of these cells last looked, as much as one read holds."""
        looked = int.from_bytes(cells.get(_LOOKED_CELL) or b"", "big")
        if looked >= self._sequence:
            return []
        looked, subjects = self._journal.cancelled_since(looked)
        cells.put(_LOOKED_CELL, looked.to_bytes(_SEQUENCE_BYTES, "big"))
        return subjects
