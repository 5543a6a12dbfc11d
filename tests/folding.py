"""Folding stored frames where no worker runs: the moves of the record stage one after the other, in one call."""

from collections.abc import Callable, Collection, Iterable

from clarion.domain.history import Changes, ChunkState, Delivery
from clarion.ports.state import Ledger
from clarion.ports.streams import StoredFrame
from clarion.record.columns import Facts, decide
from clarion.record.frames import decoded, touched
from clarion.record.gather import OpenRows

Rows = tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]
Load = Callable[[Collection[bytes], Collection[bytes]], Rows]


async def fold_stored(stored: Iterable[StoredFrame], ledger: Ledger, rows: OpenRows | None = None) -> Changes:
    """Return what frames of one partition change in a ledger, with or without a memory of open rows."""
    frames = decoded(stored).events
    at_hand, lacking = (rows or OpenRows()).take(touched(frames))
    deliveries, chunks = await ledger.load(*lacking)
    return decide(frames, Facts({**deliveries, **at_hand}, chunks))


def fold_rows(stored: Iterable[StoredFrame], load: Load, rows: OpenRows) -> Changes:
    """`fold_stored` over rows in dictionaries."""
    frames = decoded(stored).events
    at_hand, lacking = rows.take(touched(frames))
    deliveries, chunks = load(*lacking)
    return decide(frames, Facts({**deliveries, **at_hand}, chunks))
