"""The only reads of the ledger: current rows that a batch touches.

Rows of deliveries and chunks that are still open are cached between batches so that the next one need not read them
again. They are valid only while this worker is the only one that folds their partitions: call `forget` when a lease was
acquired, lost or stale. A row that a batch plans and that is not cached is assumed to be new, without a read: storing
fails when it is not.
"""

from itertools import islice
from typing import Final, TypeVar

from clarion.domain.delivery_state import TERMINAL
from clarion.domain.history import Changes, ChunkState, Delivery
from clarion.domain.limits_processes import RECORD_DOUBT_BATCHES, RECORD_OPEN_CHUNKS_MAX, RECORD_OPEN_ROWS_MAX
from clarion.ports.state import Ledger
from clarion.record.columns import FoldFacts
from clarion.record.frames import FrameIds

V = TypeVar("V")

_TERMINAL_BYTES: Final = bytes(TERMINAL)


class OpenRows:
    """A cache of at most `RECORD_OPEN_ROWS_MAX` open deliveries and `RECORD_OPEN_CHUNKS_MAX` open chunks, oldest
    evicted first."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Delivery] = {}
        self._chunks: dict[bytes, ChunkState] = {}
        self._doubtful = 0

    def take_open(self, keys: FrameIds) -> tuple[FoldFacts, FrameIds]:
        """Return the cached rows, which leave the cache until `keep`, with the ids assumed to be new, and the keys to
        load in addition: the missing rows and chunks, and the chunks of the cached rows."""
        rows, open_chunks = self._rows, self._chunks
        at_hand = {id_: rows.pop(id_) for id_ in keys.delivery_ids if id_ in rows}
        chunk_ids = {row.chunk_id for row in at_hand.values() if row.chunk_id is not None}.union(keys.chunk_ids)
        chunks = {id_: open_chunks.pop(id_) for id_ in chunk_ids if id_ in open_chunks}
        new: set[bytes] = set()
        if self._doubtful:
            self._doubtful -= 1
        else:
            new = {id_ for id_ in keys.planned if id_ not in at_hand and id_ not in chunks}
        lacking = FrameIds(
            {id_ for id_ in keys.delivery_ids if id_ not in at_hand and id_ not in new},
            {id_ for id_ in chunk_ids if id_ not in chunks and id_ not in new},
        )
        return FoldFacts(at_hand, chunks, new), lacking

    def keep(self, changes: Changes) -> None:
        """Cache the open rows of changes that have been stored."""
        self._rows.update((id_, row) for id_, row in changes.deliveries.items() if row.state not in TERMINAL)
        _bound(self._rows, RECORD_OPEN_ROWS_MAX)
        for id_, chunk in changes.chunk_states.items():
            if chunk.states.translate(None, _TERMINAL_BYTES):
                self._chunks[id_] = chunk
            else:
                self._chunks.pop(id_, None)  # it may have been loaded for a delivery in it
        _bound(self._chunks, RECORD_OPEN_CHUNKS_MAX)

    def distrust_new(self) -> None:
        """Assume nothing to be new for `RECORD_DOUBT_BATCHES` batches: a row assumed to be new existed, because a hold
        ended, and holds tend to end together."""
        self._doubtful = RECORD_DOUBT_BATCHES

    def forget(self) -> None:
        """Forget everything."""
        self._rows.clear()
        self._chunks.clear()


async def gather(ledger: Ledger, rows: OpenRows, keys: FrameIds) -> FoldFacts:
    """Return the current rows of deliveries, of chunks and of the chunks the deliveries belong to: cached ones, and the
    missing ones in one read."""
    facts, lacking = rows.take_open(keys)
    if lacking.delivery_ids or lacking.chunk_ids:
        deliveries, chunks = await ledger.load(lacking.delivery_ids, lacking.chunk_ids)
        facts.deliveries.update(deliveries)
        facts.chunks.update({id_: chunk for id_, chunk in chunks.items() if id_ not in facts.chunks})
    return facts


def _bound(rows: dict[bytes, V], size: int) -> None:
    if len(rows) > size:
        for id_ in list(islice(rows, len(rows) - size)):
            del rows[id_]
