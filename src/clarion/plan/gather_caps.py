"""Blocks of cap times this process has read, kept from step to step.

They may be old: the store refuses what was decided on a time that has changed, and whoever planned then forgets them and
gathers again.
"""

from collections.abc import Iterable, Mapping

from clarion.domain.limits_deciding import CAP_BLOCK_USERS, CAP_BLOCKS_MAX
from clarion.plan.claims import Blocks
from clarion.ports.journal_cells import CapWrite
from clarion.ports.stage_store import StageStore

_TIME_BYTES = 4
CapKey = tuple[str, bytes]
"""Tenant and rule id."""


class CapTimes:
    """The cap times of one process."""

    def __init__(self, store: StageStore) -> None:
        self._store = store
        self._blocks: dict[CapKey, Blocks] = {}

    def trim(self) -> None:
        """Keep no more than is allowed; called before a step gathers."""
        if sum(map(len, self._blocks.values())) > CAP_BLOCKS_MAX:
            self.forget()

    def forget(self) -> None:
        """Read every block again."""
        self._blocks = {}

    async def load(self, wanted: Mapping[CapKey, Iterable[int]]) -> dict[CapKey, Blocks]:
        """Return the blocks of caps; those with these numbers are among them."""
        found: dict[CapKey, Blocks] = {}
        missing: dict[CapKey, list[int]] = {}
        for cap, numbers in wanted.items():
            found[cap] = self._blocks.setdefault(cap, {})
            if lacking := set(numbers) - found[cap].keys():
                missing[cap] = sorted(lacking)
        read = await self._store.caps_of(missing) if missing else {}
        for cap, lacking_numbers in missing.items():
            for number in lacking_numbers:
                block = bytearray(read.get((*cap, number)) or CAP_BLOCK_USERS * _TIME_BYTES)
                found[cap][number] = memoryview(block).cast("I")
        return found

    def keep(self, writes: Iterable[CapWrite]) -> None:
        """Take over what was written, so that the next step need not read it."""
        for write in writes:
            block = self._blocks.get((write.tenant, write.rule), {}).get(write.block)
            if block is not None:
                for slot, _, arrival_s in write.changes:
                    block[slot] = arrival_s
