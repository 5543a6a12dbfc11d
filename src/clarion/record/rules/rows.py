"""The rows a batch touches, and how a transition is written: to its own row, the byte of its chunk, and the totals."""

from operator import or_

from clarion.domain.channel import Channel
from clarion.domain.delivery_state import Event, State, next_state
from clarion.domain.history import Arrival, Changes, ChunkState, Delivery
from clarion.domain.ids import notification_of
from clarion.record.rules import chunk_bytes

MINUTE_MS = 60_000


class Rows:
    """Current rows of one batch and their changes. `deliveries` and `chunks` are changed in place."""

    def __init__(self, deliveries: dict[bytes, Delivery], chunks: dict[bytes, ChunkState]) -> None:
        self.deliveries = deliveries
        self.chunks = chunks
        self.changes = Changes()

    def current(self, delivery_id: bytes) -> Delivery | None:
        """Return the row of a delivery, with the state that its chunk has for it."""
        row = self.deliveries.get(delivery_id)
        if row is not None and row.chunk_id is not None:
            chunk = self.chunks.get(row.chunk_id)
            if chunk is not None and row.state != chunk.states[row.chunk_index]:
                # The byte is authoritative: a slice accepted at once is recorded for the chunk alone.
                row.state = State(chunk.states[row.chunk_index])
                self.changes.deliveries[row.id] = row
        return row

    def move(self, row: Delivery, event: Event) -> None:
        """Move a delivery by an event as `next_state` lets it, and its byte in its chunk."""
        chunk = self.chunks.get(row.chunk_id) if row.chunk_id is not None else None
        row.state = next_state(row.state, event)
        self.changes.deliveries[row.id] = row
        if chunk is not None:
            index = row.chunk_index
            self.splice(chunk, index, bytes((row.state,)), bytes((row.reason,)))

    def splice(
        self, chunk: ChunkState, first: int, states: bytes, reasons: bytes | None = None, at_ms: int = 0
    ) -> None:
        """Replace bytes of a chunk from an index on and correct the totals of its broadcast."""
        end = first + len(states)
        self._retotal(chunk, chunk.states[first:end], chunk.reasons[first:end], -1)
        if chunk.channel == Channel.INAPP:
            self._arrive(chunk, first, states, at_ms)
        chunk.states = chunk.states[:first] + states + chunk.states[end:]
        if reasons is not None:
            chunk.reasons = chunk.reasons[:first] + reasons + chunk.reasons[end:]
        self._retotal(chunk, states, chunk.reasons[first:end], +1)
        self.changes.chunk_states[chunk.chunk_id] = chunk

    def _arrive(self, chunk: ChunkState, first: int, states: bytes, at_ms: int) -> None:
        """Add the deliveries that the new bytes bring into inboxes to the chunk's arrival."""
        members = chunk_bytes.newly_shown(chunk.states, first, states)
        if not any(members):
            return
        before = self.changes.arrivals.get(chunk.chunk_id)
        if before is not None:
            members = bytes(map(or_, before.members, members))
        self.changes.arrivals[chunk.chunk_id] = Arrival(chunk.tenant, chunk.chunk_id, at_ms, members)

    def _retotal(self, chunk: ChunkState, states: bytes, reasons: bytes, sign: int) -> None:
        broadcast = notification_of(chunk.chunk_id)
        for (byte, reason), count in chunk_bytes.tally(states, reasons).items():
            self.total(chunk.tenant, broadcast, chunk.channel, byte, reason, sign * count)

    def total(self, tenant: str, broadcast: bytes, channel: str, state: int, reason: int, count: int) -> None:
        """Add to a total of a broadcast."""
        key = (tenant, broadcast, channel, state, reason)
        self.changes.totals[key] = self.changes.totals.get(key, 0) + count

    def count(self, at_ms: int, tenant: str, channel: str, what: str, reason: int, count: int = 1) -> None:
        """Add to a counter of the minute."""
        key = (at_ms - at_ms % MINUTE_MS, tenant, channel, what, reason)
        self.changes.counters[key] = self.changes.counters.get(key, 0) + count
