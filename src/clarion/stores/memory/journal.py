"""The reference implementation of the journal: streams and stage store in lists and dictionaries of one process."""

from clarion.domain.limits_processes import PARTITIONS_MAX
from clarion.ports.clock import Clock
from clarion.stores.memory.stage_store import MemoryStageStore
from clarion.stores.memory.streams import MemoryStreams


class MemoryJournal(MemoryStreams, MemoryStageStore):
    """Implements `ports.streams.Streams` and `ports.stage_store.StageStore` for one process and one event loop.
    `repeats` is passed to `MemoryStreams`."""

    def __init__(self, clock: Clock, partitions: int, *, repeats: int = 0) -> None:
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise ValueError(f"a journal has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
        MemoryStreams.__init__(self, clock, partitions, repeats)
        MemoryStageStore.__init__(self, clock, partitions, self)
