"""Folding stored frames where no worker runs: the moves of the record stage one after the other, in one call."""

from collections.abc import Iterable

from clarion.domain.history import Changes
from clarion.ports.journal import StoredFrame
from clarion.ports.state import Ledger
from clarion.record.columns import Facts, decide
from clarion.record.frames import decoded, touched
from clarion.record.gather import OpenRows


def fold_stored(stored: Iterable[StoredFrame], ledger: Ledger, rows: OpenRows | None = None) -> Changes:
    """Return what frames of one partition change in a ledger, with or without a memory of open rows."""
    frames = decoded(stored).events
    at_hand, lacking = (rows or OpenRows()).take(touched(frames))
    deliveries, chunks = ledger.load(*lacking)
    return decide(frames, Facts({**deliveries, **at_hand}, chunks))
