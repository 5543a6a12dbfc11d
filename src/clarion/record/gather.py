"""The only reads of the ledger: current rows of what a batch touches.

Rows of deliveries that are still open are kept between batches so that the next one need not read them again. They are
valid only while this worker is the only one who folds their partitions: `forget` when a lease came, went or was stale.
"""

from itertools import islice

from clarion.domain.delivery_state import TERMINAL
from clarion.domain.history import Changes, Delivery
from clarion.domain.limits import RECORD_OPEN_ROWS_MAX
from clarion.ports.state import Ledger
from clarion.record.columns import Facts
from clarion.record.frames import Keys


class OpenRows:
    """A memory of at most `RECORD_OPEN_ROWS_MAX` open deliveries, oldest forgotten first."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Delivery] = {}

    def take(self, keys: Keys) -> tuple[dict[bytes, Delivery], Keys]:
        """Return the rows at hand, which are forgotten until `keep`, and what has to be loaded besides: the other rows, the
        chunks, and the chunks that the rows at hand lie in."""
        rows = self._rows
        at_hand = {id_: rows.pop(id_) for id_ in keys.delivery_ids if id_ in rows}
        chunk_ids = {row.chunk_id for row in at_hand.values() if row.chunk_id is not None}
        return at_hand, Keys(keys.delivery_ids.difference(at_hand), chunk_ids.union(keys.chunk_ids))

    def keep(self, changes: Changes) -> None:
        """Remember the open rows of changes that have been stored."""
        rows = self._rows
        rows.update((id_, row) for id_, row in changes.deliveries.items() if row.state not in TERMINAL)
        if len(rows) > RECORD_OPEN_ROWS_MAX:
            for id_ in list(islice(rows, len(rows) - RECORD_OPEN_ROWS_MAX)):
                del rows[id_]

    def forget(self) -> None:
        """Forget everything."""
        self._rows.clear()


async def gather(ledger: Ledger, rows: OpenRows, keys: Keys) -> Facts:
    """Return the current rows of deliveries, of chunks and of the chunks the deliveries lie in: those at hand, and the others
    in one read."""
    at_hand, lacking = rows.take(keys)
    if not any(lacking):
        return Facts(at_hand, {})
    deliveries, chunks = await ledger.load(*lacking)
    deliveries.update(at_hand)
    return Facts(deliveries, chunks)
