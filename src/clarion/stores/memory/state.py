"""The state store in memory: ledger, history, inbox and seen receipts of one process."""

import copy
from collections.abc import Collection, Iterable, Sequence

from clarion.domain.delivery_state import State
from clarion.domain.errors import AlreadyStored, StaleLease
from clarion.domain.history import Changes, ChunkState, Delivery
from clarion.ports.stage_store import Position
from clarion.ports.state import Advance
from clarion.runtime.inbox_signal import InboxSignals, changed_by
from clarion.stores.memory.state_history import MemoryHistory
from clarion.stores.memory.state_inbox import MemoryInbox
from clarion.stores.memory.state_tables import Tables


class MemoryState:
    """Implements `ports.state.Ledger`, `DeliveryStates` and the ports that read the same state. Used from one event
    loop."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.inbox_signal = InboxSignals()
        self.ledger = MemoryLedger(self.tables, self.inbox_signal)
        self.history = MemoryHistory(self.tables)
        self.inbox = MemoryInbox(self.tables, self.inbox_signal)

    def close(self) -> None:
        """Do nothing: nothing is open."""


class MemoryLedger:
    """Implements `ports.state.Ledger` and `DeliveryStates`."""

    def __init__(self, tables: Tables, signals: InboxSignals) -> None:
        self._tables = tables
        self._signals = signals

    async def positions(self) -> dict[int, Position]:
        """Return the folded position of each partition."""
        return {partition: position for partition, (position, _) in self._tables.positions.items()}

    async def load(
        self, delivery_ids: Collection[bytes], chunk_ids: Collection[bytes]
    ) -> tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]:
        """Return the current rows of deliveries, of chunks, and of the chunks that hold those deliveries."""
        tables = self._tables
        rows = {id_: tables.deliveries.get(id_) for id_ in delivery_ids}
        deliveries = {id_: copy.copy(row) for id_, row in rows.items() if row is not None}
        wanted = {row.chunk_id for row in deliveries.values() if row.chunk_id is not None}.union(chunk_ids)
        states = {id_: copy.copy(tables.chunk_states[id_]) for id_ in wanted if id_ in tables.chunk_states}
        return deliveries, states

    async def apply(self, changes: Changes, advances: Sequence[Advance]) -> None:
        """Store changes and positions, all or nothing. Raises `StaleLease` when another worker has folded further, or
        `AlreadyStored` when a row assumed to be new exists."""
        tables = self._tables
        for advance in advances:
            position, fence = tables.positions.get(advance.partition, (Position(0), 0))
            if position.offset != advance.from_offset or fence > advance.fence:
                raise StaleLease(f"record: partition {advance.partition} was folded further by another worker")
        if any(tables.deliveries.get(id_) is not None or id_ in tables.chunk_states for id_ in changes.new):
            raise AlreadyStored("record: a delivery or chunk assumed to be new has a row")
        tables.store(changes)
        tables.positions.update(
            {one.partition: (Position(one.offset, dict(one.numbers)), one.fence) for one in advances}
        )
        self._signals.notify(changed_by(changes))

    async def prune_captures(self, before_ms: int, keep_per_tenant: int) -> int:
        """Delete captures older than a time or beyond a number per tenant; return the number deleted."""
        oldest, gone = max(before_ms, 0).to_bytes(6, "big"), 0
        for rows in self._tables.captures.values():
            held = [id_ for id_, of_delivery in rows.newest() for _ in of_delivery]
            edge = max(oldest, held[keep_per_tenant] if len(held) > keep_per_tenant else b"")
            gone += sum(map(len, rows.remove_up_to(edge)))
        return gone

    async def states(self, delivery_ids: Iterable[bytes]) -> dict[bytes, tuple[State, int]]:
        """Return the state and newest attempt of those of the deliveries that have a row of their own."""
        rows = {id_: self._tables.deliveries.get(id_) for id_ in delivery_ids}
        return {id_: (row.state, row.attempt) for id_, row in rows.items() if row is not None}

    async def chunk_states(self, chunk_id: bytes) -> bytes | None:
        """Return the state bytes of a chunk, None when it is not folded yet."""
        state = self._tables.chunk_states.get(chunk_id)
        return None if state is None else state.states
