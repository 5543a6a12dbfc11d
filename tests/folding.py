"""Folding of stored frames without a worker: the steps of the record stage in one call."""

from collections.abc import Callable, Collection, Iterable, Sequence

from clarion.domain.errors import AlreadyStored
from clarion.domain.history import Changes, ChunkState, Delivery
from clarion.ports.state import Advance, Ledger
from clarion.ports.streams import StoredFrame
from clarion.record.columns import FoldFacts, decide
from clarion.record.frames import decoded, touched
from clarion.record.gather import OpenRows, gather

Rows = tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]
Load = Callable[[Collection[bytes], Collection[bytes]], Rows]


async def fold_stored(stored: Iterable[StoredFrame], ledger: Ledger, rows: OpenRows | None = None) -> Changes:
    """Return the changes that frames of one partition make in a ledger, with or without a cache of open rows. Every row is
    looked up."""
    frames = decoded(stored).events
    known = rows or OpenRows()
    return decide(frames, await gather(ledger, known, touched(frames)._replace(planned=frozenset())))


async def fold_on(
    stored: Sequence[StoredFrame], ledger: Ledger, rows: OpenRows, advances: Sequence[Advance] = ()
) -> None:
    """Fold frames of one partition into a ledger: a planned delivery counts as new unless the ledger has a row of it."""
    frames = decoded(stored).events
    changes = decide(frames, await gather(ledger, rows, touched(frames)))
    try:
        await ledger.apply(changes, advances)
    except AlreadyStored:
        changes = await fold_stored(stored, ledger, rows)
        await ledger.apply(changes, advances)
    rows.keep(changes)


def fold_rows(stored: Iterable[StoredFrame], load: Load, rows: OpenRows) -> Changes:
    """`fold_stored` over rows in dictionaries."""
    frames = decoded(stored).events
    facts, missing = rows.take_open(touched(frames)._replace(planned=frozenset()))
    deliveries, chunks = load(missing.delivery_ids, missing.chunk_ids)
    return decide(frames, FoldFacts({**deliveries, **facts.deliveries}, {**chunks, **facts.chunks}))
