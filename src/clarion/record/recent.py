"""Rows of deliveries that are still open, kept between batches so that the next one need not read them again.

Valid only while this worker is the only one who folds their partitions: `forget` when a lease came, went or was stale.
"""

from collections.abc import Collection

from clarion.domain.delivery_state import TERMINAL
from clarion.domain.history import Changes, ChunkState, Delivery
from clarion.domain.limits import RECORD_OPEN_ROWS_MAX
from clarion.ports.state import Ledger


class RecentRows:
    """A ledger's `load` with a memory of at most `RECORD_OPEN_ROWS_MAX` open deliveries, oldest forgotten first."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._rows: dict[bytes, Delivery] = {}

    def load(
        self, delivery_ids: Collection[bytes], chunk_ids: Collection[bytes]
    ) -> tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]:
        """Return current rows, as `Ledger.load`. Rows that were remembered are forgotten until `keep`."""
        rows = self._rows
        at_hand = {id_: rows.pop(id_) for id_ in delivery_ids if id_ in rows}
        wanted = {row.chunk_id for row in at_hand.values() if row.chunk_id is not None}
        deliveries, chunks = self._ledger.load([i for i in delivery_ids if i not in at_hand], wanted.union(chunk_ids))
        deliveries.update(at_hand)
        return deliveries, chunks

    def keep(self, changes: Changes) -> None:
        """Remember the open rows of changes that have been stored."""
        rows = self._rows
        rows.update((id_, row) for id_, row in changes.deliveries.items() if row.state not in TERMINAL)
        for id_ in list(rows)[: max(0, len(rows) - RECORD_OPEN_ROWS_MAX)]:
            del rows[id_]

    def forget(self) -> None:
        """Forget everything."""
        self._rows.clear()
