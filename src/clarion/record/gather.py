"""The only reads of the ledger: current rows of what a batch touches.

Rows of deliveries and chunks that are still open are kept between batches so that the next one need not read them again.
They are valid only while this worker is the only one who folds their partitions: `forget` when a lease came, went or was
stale. What a batch plans and is not at hand is taken for new, without a look: storing finds out when it is not.
"""

from itertools import islice
from typing import Final, TypeVar

from clarion.domain.delivery_state import TERMINAL
from clarion.domain.history import Changes, ChunkState, Delivery
from clarion.domain.limits import RECORD_DOUBT_BATCHES, RECORD_OPEN_CHUNKS_MAX, RECORD_OPEN_ROWS_MAX
from clarion.ports.state import Ledger
from clarion.record.columns import Facts
from clarion.record.frames import Keys

V = TypeVar("V")

_TERMINAL_BYTES: Final = bytes(TERMINAL)


class OpenRows:
    """A memory of at most `RECORD_OPEN_ROWS_MAX` open deliveries and `RECORD_OPEN_CHUNKS_MAX` open chunks, oldest forgotten
    first."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Delivery] = {}
        self._chunks: dict[bytes, ChunkState] = {}
        self._doubtful = 0

    def take(self, keys: Keys) -> tuple[Facts, Keys]:
        """Return the rows at hand, which are forgotten until `keep`, with what is taken for new, and what has to be loaded
        besides: the other rows, the other chunks, and those that the rows at hand lie in."""
        rows, open_chunks = self._rows, self._chunks
        at_hand = {id_: rows.pop(id_) for id_ in keys.delivery_ids if id_ in rows}
        chunk_ids = {row.chunk_id for row in at_hand.values() if row.chunk_id is not None}.union(keys.chunk_ids)
        chunks = {id_: open_chunks.pop(id_) for id_ in chunk_ids if id_ in open_chunks}
        new: set[bytes] = set()
        if self._doubtful:
            self._doubtful -= 1
        else:
            new = {id_ for id_ in keys.planned if id_ not in at_hand and id_ not in chunks}
        lacking = Keys(
            {id_ for id_ in keys.delivery_ids if id_ not in at_hand and id_ not in new},
            {id_ for id_ in chunk_ids if id_ not in chunks and id_ not in new},
        )
        return Facts(at_hand, chunks, new), lacking

    def keep(self, changes: Changes) -> None:
        """Remember the open rows of changes that have been stored."""
        self._rows.update((id_, row) for id_, row in changes.deliveries.items() if row.state not in TERMINAL)
        _bound(self._rows, RECORD_OPEN_ROWS_MAX)
        for id_, chunk in changes.chunk_states.items():
            if chunk.states.translate(None, _TERMINAL_BYTES):
                self._chunks[id_] = chunk
            else:
                self._chunks.pop(id_, None)  # it may have been loaded for a delivery in it
        _bound(self._chunks, RECORD_OPEN_CHUNKS_MAX)

    def doubt(self) -> None:
        """Take nothing for new for a while: something that was, has a row. Where one hold ends, more do."""
        self._doubtful = RECORD_DOUBT_BATCHES

    def forget(self) -> None:
        """Forget everything."""
        self._rows.clear()
        self._chunks.clear()


async def gather(ledger: Ledger, rows: OpenRows, keys: Keys) -> Facts:
    """Return the current rows of deliveries, of chunks and of the chunks the deliveries lie in: those at hand, and the others
    in one read."""
    facts, lacking = rows.take(keys)
    if lacking.delivery_ids or lacking.chunk_ids:
        deliveries, chunks = await ledger.load(lacking.delivery_ids, lacking.chunk_ids)
        facts.deliveries.update(deliveries)
        facts.chunks.update({id_: chunk for id_, chunk in chunks.items() if id_ not in facts.chunks})
    return facts


def _bound(rows: dict[bytes, V], size: int) -> None:
    if len(rows) > size:
        for id_ in list(islice(rows, len(rows) - size)):
            del rows[id_]
