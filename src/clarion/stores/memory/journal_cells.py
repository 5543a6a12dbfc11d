"""Cells, waits and cap times of the reference implementation: conditions are checked before anything is changed."""

from collections.abc import Iterable, Sequence
from struct import pack

from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.ports.journal_cells import CapWrite, Cell, Signal, Wait
from clarion.ports.regroup import Placement
from clarion.ports.stage_store import PlanState, StaleCaps

CapBlocks = dict[tuple[str, bytes, int], list[int]]


class MemoryCells:
    """The state of planning in one journal, stored in addition to its frames."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, bytes], bytes] = {}
        self._waits: dict[tuple[str, bytes, bytes], Wait] = {}
        self._caps: CapBlocks = {}

    def changed(self, writes: Iterable[CapWrite]) -> CapBlocks:
        """Return the blocks after the writes. Raises `StaleCaps` when a slot has changed since it was read."""
        blocks: CapBlocks = {}
        for write in writes:
            place = (write.tenant, write.rule, write.block)
            times = blocks.setdefault(place, list(self._caps.get(place, [0] * CAP_BLOCK_USERS)))
            for slot, read_s, new_s in write.changes:
                if times[slot] != read_s:
                    raise StaleCaps(f"slot {slot} of block {write.block} was changed since it was read")
                times[slot] = new_s
        return blocks

    def store(self, kept: PlanState, blocks: CapBlocks) -> None:
        """Store a step's state of planning; `blocks` are the cap times after the step."""
        self._caps.update(blocks)
        for cell in kept.cells:
            if cell.value is None:
                self._cells.pop((cell.partition, cell.key), None)
            else:
                self._cells[cell.partition, cell.key] = cell.value
        for ended in kept.ended_waits:
            self._waits.pop((ended.tenant, ended.key, ended.subject), None)
        for wait in kept.waits:
            self._waits[wait.tenant, wait.key, wait.subject] = wait

    def streams(self, signal: Signal, now_ms: int) -> list[tuple[str, int]]:
        """Return the streams on which a signal has waiters, each once."""
        return sorted({(wait.topic, wait.partition) for wait in self._waiting(signal.tenant, signal.key, now_ms)})

    def cells(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those of the keys that exist."""
        return {key: self._cells[partition, key] for key in keys if (partition, key) in self._cells}

    def cells_under(self, partition: int, prefix: bytes, limit: int, after: bytes) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` cells whose keys begin with `prefix` and are above `after`, in order."""
        return [
            (key, value)
            for (at, key), value in sorted(self._cells.items())
            if at == partition and key.startswith(prefix) and key > after
        ][:limit]

    def waits(self, tenant: str, key: bytes, now_ms: int, limit: int) -> list[Wait]:
        """Return the waits for a key."""
        return sorted(self._waiting(tenant, key, now_ms), key=lambda wait: wait.subject)[:limit]

    def caps(self, tenant: str, rule: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
        """Return the cap times of those of the blocks that exist."""
        found = {block: self._caps.get((tenant, rule, block)) for block in blocks}
        return {block: pack(f"<{CAP_BLOCK_USERS}I", *times) for block, times in found.items() if times is not None}

    def learn(self, placement: Placement) -> None:
        """Show a placement all cells."""
        placement.learn(self._all())

    def regroup(self, placement: Placement) -> None:
        """Move cells and waits to their places."""
        placed = [*placement.cells(self._all()), *placement.last_cells()]
        self._cells = {}
        for cell in placed:
            place, value = (cell.partition, cell.key), cell.value or b""
            before = self._cells.get(place)
            self._cells[place] = value if before is None else placement.merged(cell.key, before, value)
        waits = placement.waits(self._waits.values())
        self._waits = {(wait.tenant, wait.key, wait.subject): wait for wait in waits}

    def _all(self) -> list[Cell]:
        return [Cell(partition, key, value) for (partition, key), value in sorted(self._cells.items())]

    def trim(self, now_ms: int) -> None:
        """Delete expired waits."""
        self._waits = {place: wait for place, wait in self._waits.items() if wait.expires_ms > now_ms}

    def _waiting(self, tenant: str, key: bytes, now_ms: int) -> list[Wait]:
        return [
            wait
            for (of, name, _), wait in self._waits.items()
            if (of, name) == (tenant, key) and wait.expires_ms > now_ms
        ]
