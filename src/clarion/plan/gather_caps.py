"""Blocks of cap times this process has read, cached between steps.

They may be stale: the store refuses a decision on a time that has changed; the planner then drops the cache and gathers
again.
"""

from collections.abc import Iterable, Mapping

from clarion.domain.limits_processes import CAP_BLOCK_USERS, CAP_BLOCKS_MAX
from clarion.plan.claims import Blocks
from clarion.ports.journal_cells import CapWrite
from clarion.ports.stage_store import StageStore

_TIME_BYTES = 4
CapKey = tuple[str, bytes]
"""Tenant and rule id."""


class CapTimes:
    """The cached cap times of one process."""

    def __init__(self, store: StageStore) -> None:
        self._store = store
        self._blocks: dict[CapKey, Blocks] = {}

    def trim(self) -> None:
        """Drop all blocks when there are more than `CAP_BLOCKS_MAX`; called before a step gathers."""
        if sum(map(len, self._blocks.values())) > CAP_BLOCKS_MAX:
            self.forget()

    def forget(self) -> None:
        """Drop all blocks, so that they are read again."""
        self._blocks = {}

    async def load(self, wanted: Mapping[CapKey, Iterable[int]]) -> dict[CapKey, Blocks]:
        """Return the blocks of caps; the result includes those with the wanted numbers."""
        found: dict[CapKey, Blocks] = {}
        missing: dict[CapKey, list[int]] = {}
        for cap, numbers in wanted.items():
            found[cap] = self._blocks.setdefault(cap, {})
            if missing_facts := set(numbers) - found[cap].keys():
                missing[cap] = sorted(missing_facts)
        read = await self._store.caps_of(missing) if missing else {}
        for cap, lacking_numbers in missing.items():
            for number in lacking_numbers:
                block = bytearray(read.get((*cap, number)) or CAP_BLOCK_USERS * _TIME_BYTES)
                found[cap][number] = memoryview(block).cast("I")
        return found

    def keep(self, writes: Iterable[CapWrite]) -> None:
        """Update the cached blocks with committed writes, so that the next step need not read them."""
        for write in writes:
            block = self._blocks.get((write.tenant, write.rule), {}).get(write.block)
            if block is not None:
                for slot, _, arrival_s in write.changes:
                    block[slot] = arrival_s
